"""The vocabulary: pages, levels, commands and events. Frozen classes and tables, no behaviour."""
