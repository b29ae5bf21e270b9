"""The journal in one SQLite file: the log, its lock and write-ahead log, checks, erasure, caches."""
