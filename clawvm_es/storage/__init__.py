"""Where journals are kept: each package fills the ports of `journal.ports`, and nothing else knows SQL."""
