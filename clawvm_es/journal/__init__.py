"""The event log: canonical bytes, hash chain, bodies kept apart, and the logs that store them."""
