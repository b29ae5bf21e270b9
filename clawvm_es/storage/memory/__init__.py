"""A log in memory, for tests and for what needs no file."""
