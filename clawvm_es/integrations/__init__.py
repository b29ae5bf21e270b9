"""Live harnesses: what runs in them, and what takes what they tell into a journal. Each is one file and one extra.

| module | runs |
|---|---|
| `spool` | in the harness's hooks: standard library only, copied beside the journal |
| `ingest`, `restored` | at the harness's boundaries, and when a verb opens the journal |
| `install`, `doctor` | when people ask for it |
"""
