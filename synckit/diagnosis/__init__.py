"""Why, and what happened: one record's story, errors grouped by their cause, what to look for before a run, logs brought along."""
