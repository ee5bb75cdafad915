"""WHAT synckit remembers: couplings, watermarks, jobs, errors and the journal, in a database of its own."""
