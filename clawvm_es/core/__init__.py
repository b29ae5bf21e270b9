"""The pure core: state, `evolve`, `decide`, and the rules they apply. No clock, no files, no randomness."""
