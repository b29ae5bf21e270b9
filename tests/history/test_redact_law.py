"""The laws of erasure over sessions of any shape: whatever is erased leaves no trace, whatever stays is as it was."""

import re
import secrets

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from clawvm_es.engine.hooks import Settings
from clawvm_es.engine.journal import Journal
from clawvm_es.engine.store import FieldSchema
from clawvm_es.history import redecide
from clawvm_es.history.redact import Target, redact
from clawvm_es.journal.lineage import read_session
from clawvm_es.model.events import SCOPE_PREFIX
from clawvm_es.projections import projections_problems
from clawvm_es.storage import verify

SETTINGS = Settings(fields={"note": FieldSchema()})
PLACES = ("user", "page", "result", "argument", "source", "answer", "query", "recalled", "value", "shared")


def say(session, place, text):
    """Put a text into a session at one of the places that take one."""
    if place == "user":
        session.user_says(text)
    elif place == "page":
        session.write_page("plan", f"Goal: {text}\n1. [ ] start", author="model")
    elif place == "query":
        session.recall(text, [])
    elif place == "recalled":
        session.recall("what do we know", [text * 30])
    elif place in ("value", "shared"):
        scope = "project" if place == "shared" else "session"
        session.stage("note", "append", text, scope=scope, evidence=1)
    else:
        argument = text if place == "argument" else "a"
        answer = text if place == "answer" else ""
        content = {"content": "a long text " * 30}
        native = [{"text": answer}, {"input": argument}]
        (call,) = session.observe_model(answer, [("read", {"path": argument} | content)], native=native)
        source = f"read {text}" if place == "source" else ""
        result = f"{text} and more\n" * 20 if place == "result" else "nothing"
        session.observe_result(call, result, source=source, native=[{"text": result}])


steps = st.tuples(st.sampled_from(("a", "b", "c")), st.sampled_from(PLACES), st.integers(0, 2), st.booleans())


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@example(steps=[("a", "recalled", 0, False), ("a", "recalled", 1, False)], forked=False, close=False)  # same pointer
@given(steps=st.lists(steps, min_size=4, max_size=16), forked=st.booleans(), close=st.booleans())
def test_no_trace_is_left_and_everything_else_holds(tmp_path_factory, steps, forked, close):
    """LAW-REDACT-1, 2, 3: of three canaries strewn over sessions, a fork and a scope, one is erased by pattern."""
    path = tmp_path_factory.mktemp("redact") / "j.db"
    canaries = [f"canary{n}-{secrets.token_hex(16)}" for n in range(3)]
    with Journal.open(path) as journal:
        for name, place, which, boundary in steps:
            with journal.session(name, counter="lines4", project="team", settings=SETTINGS) as session:
                say(session, place, canaries[which])
                session.assemble()
                if boundary:
                    session.compact()
        first = steps[0][0]
        if forked:
            with journal.fork(first, "fork", settings=SETTINGS) as fork:
                fork.user_says("go on")
                fork.assemble()
        if close:
            with journal.session(first, settings=SETTINGS) as session:
                session.close()
        heads = {head.session_id: head for head in journal.log.heads()}
        done = redact(journal.log, Target(matches=re.compile(canaries[0]).search), at_us=1, everywhere=True)
        assert done.status == ("erased" if any(which == 0 for _, _, which, _ in steps) else "nothing")
        assert redact(journal.log, Target(matches=re.compile(canaries[0]).search), at_us=1).status == "nothing"
        kept = {name: hash_at(journal.log, name, head.version) for name, head in heads.items()}
        assert kept == {name: head.hash for name, head in heads.items()}
        assert verify(journal.log) == () and projections_problems(journal.log) == []
        for name in heads:
            if not name.startswith(SCOPE_PREFIX):
                redecide(read_session(journal.log, name))
    data = b"".join(file.read_bytes() for file in path.parent.iterdir())
    assert canaries[0].encode() not in data and canaries[0].rpartition("-")[2].encode() not in data
    assert all((canary.encode() in data) == any(which == n for _, _, which, _ in steps)
               for n, canary in enumerate(canaries) if n)  # fmt: skip


def hash_at(log, session_id, version):
    """The hash of one event of a stream."""
    return next(log.read(session_id, version - 1, version)).hash
