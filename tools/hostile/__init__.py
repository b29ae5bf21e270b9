"""A corpus of hostile files, made from a seed, and what every verb does with them."""
