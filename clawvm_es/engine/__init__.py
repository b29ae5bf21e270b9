"""The shell around the pure core: sessions, their hooks, and the edge that turns text into facts."""
