"""The bars P1 to P10, each measured beside its peer in one run; `python tools/bench.py` runs them."""
