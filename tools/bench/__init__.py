"""The bars P1, P2 and P4–P9, each measured beside its peer; `python tools/bench.py` runs them."""
