"""Live harnesses: code that runs in them, and code that records their reports in a journal. Each is a module and an
extra.

| module | runs |
|---|---|
| `spool` | in the harness's hooks: standard library only, copied beside the journal |
| `ingest`, `restored` | at the harness's boundaries, and when a verb opens the journal |
| `install`, `doctor` | when people ask for it |
"""
