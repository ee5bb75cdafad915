"""A Plan in, Jobs out: guarded batches, journal, resume."""
