"""Mutation testing of the package: what `tools/mutate.py` is made of."""
