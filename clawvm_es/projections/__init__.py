"""Read models: folds of the log into plain tables, caught up as it grows and rebuilt the same every time."""
