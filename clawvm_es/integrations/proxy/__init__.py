"""A proxy between a harness and its provider: it records what is really sent, and pages results of tools.

Data flows so: `app` takes a request, `wire` takes it apart by its shape (`anthropic`, `openai`), `histories` finds
the conversation and makes the next request by `paging`, `app` sends it on and the answer back, `recorder` writes both
to the journal (extra `proxy`).
"""
