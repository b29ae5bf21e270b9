"""Token counters, frames, and the builders of levels: everything that reads a page's text."""
