"""A proxy between a harness and its provider (extra `proxy`): it records real requests, and pages tool results.

Data flow: `app` receives a request, `wire` parses it by its shape (`anthropic`, `openai`), `histories` finds the
conversation and makes the next request by `paging`, `app` forwards it and returns the answer, `recorder` writes both
to the journal.
"""
