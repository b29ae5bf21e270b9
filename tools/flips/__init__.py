"""Single-byte flips in a journal's files: where they hit, what a reader sees of them, whether `verify` finds them."""
