"""The command line: one program, git-like verbs, each a thin twin of a library call."""
