"""A stateful machine: both logs beside a plain list, with closing, opening, retries and failures at any time."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from clawvm_es.errors import IdempotencyConflict, VersionConflict
from clawvm_es.journal.ports import Durability, Expected
from clawvm_es.model.events import ToolCalled
from clawvm_es.storage import open_log, verify
from clawvm_es.storage.memory.log import MemoryLog
from clawvm_es.testing.logs import budget, new, used

SESSIONS = st.sampled_from(["a", "b", "ü"])
GROUPS = st.tuples(st.sampled_from([None, "k1", "k2", "k3"]), st.integers(1, 2), st.integers(0, 2))
"""Key, budget and number of decisions of one group."""
EXPECTED = st.sampled_from([*Expected, 0, 1, 2, 3, 5, "right"])


class Model:
    """What a log should hold: rows (session, data, key) in the order of the log, and the bodies that are stored."""

    def __init__(self) -> None:
        self.rows: list[tuple[str, object, str | None]] = []

    def stream(self, session_id: str) -> list[tuple[object, str | None]]:
        """Data and key of one session's rows."""
        return [(data, key) for session, data, key in self.rows if session == session_id]

    def append(self, session_id: str, groups, expected) -> type[Exception] | None:
        """Append groups, or say which error is due."""
        known = {key: data for data, key in self.stream(session_id) if key is not None}
        fresh = []
        for key, tokens, decisions in groups:
            event = budget(tokens).data
            if key is not None and key in known:
                if known[key] != event:
                    return IdempotencyConflict
                continue
            if key is not None:
                known[key] = event
            fresh += [(session_id, event, key), *[(session_id, used().data, None)] * decisions]
        version = len(self.stream(session_id))
        right = {Expected.ANY: True, Expected.NO_STREAM: version == 0, Expected.STREAM_EXISTS: version > 0}
        if fresh and not right.get(expected, expected == version):
            return VersionConflict
        self.rows += fresh
        return None


def events(groups):
    """The events of some groups."""
    return [event for key, tokens, decisions in groups for event in (budget(tokens, key), *[used()] * decisions)]


class LogMachine(RuleBasedStateMachine):
    """Everything that can be done to a log, checked against the model after each step."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.path = self.folder / "journal.db"
        self.file = open_log(self.path)
        self.memory = MemoryLog()
        self.model = Model()
        self.bodies: dict[tuple[str, bytes], str] = {}

    @property
    def logs(self):
        """The two logs."""
        return self.file, self.memory

    @rule(session_id=SESSIONS, groups=st.lists(GROUPS, min_size=1, max_size=3), expected=EXPECTED, full=st.booleans())
    def append(self, session_id, groups, expected, full) -> None:
        """Append to one stream."""
        if expected == "right":
            expected = len(self.model.stream(session_id))
        error = self.model.append(session_id, groups, expected)
        for log in self.logs:
            durability = Durability.FULL if full else Durability.NORMAL
            if error is None:
                head = log.append(session_id, events(groups), expected, durability)
                assert head.version == len(self.model.stream(session_id))
            else:
                with pytest.raises(error):
                    log.append(session_id, events(groups), expected, durability)

    @rule(sessions=st.lists(SESSIONS, min_size=1, max_size=3), fails=st.booleans())
    def transaction(self, sessions, fails) -> None:
        """Append to several streams together, or take it all back."""
        for log in self.logs:
            try:
                with log.transaction() as transaction:
                    for session_id in sessions:
                        transaction.append(session_id, [budget(7), used()])
                    if fails:
                        raise ZeroDivisionError
            except ZeroDivisionError:
                assert fails
        if not fails:
            self.model.rows += [(s, event.data, None) for s in sessions for event in (budget(7), used())]

    @rule(session_id=SESSIONS, text=st.sampled_from([b"", b"one", b"\xff" * 5000]))
    def body(self, session_id, text) -> None:
        """Append an input that names a body; its commitment is the same each time and on both logs (one seed)."""
        commitments = {log.vault(session_id, seed=1).commit(text) for log in self.logs}
        (commitment,) = commitments
        assert self.bodies.setdefault((session_id, text), commitment) == commitment
        event = new(ToolCalled(1, "tool", commitment))
        for log in self.logs:
            log.append(session_id, [event])
        self.model.rows.append((session_id, event.data, None))

    @rule()
    def reopen(self) -> None:
        """Close the file and open it again."""
        self.file.close()
        self.file = open_log(self.path)

    @rule()
    def crash(self) -> None:
        """Go on with what the files hold at this moment."""
        image = self.folder / "image"
        image.mkdir()
        for path in self.folder.glob("journal.db*"):
            shutil.copy(path, image / path.name)
        self.file.close()
        for path in self.folder.glob("journal.db*"):
            path.unlink()
        for path in image.iterdir():
            path.rename(self.folder / path.name)
        image.rmdir()
        self.file = open_log(self.path)

    @invariant()
    def both_hold_what_the_model_holds(self) -> None:
        """Rows, streams, keys, heads and bodies of both logs are the model's, and their chains are equal."""
        for log in self.logs:
            assert [(r.session_id, r.data, r.idempotency_key) for r in log.read_all()] == self.model.rows
            assert [h.session_id for h in log.heads()] == sorted({s for s, _, _ in self.model.rows}, key=str.encode)
            for session_id in ("a", "b", "ü"):
                stream = self.model.stream(session_id)
                assert [(r.version, r.data) for r in log.read(session_id)] == [
                    (n, data) for n, (data, _) in enumerate(stream, 1)
                ]
                for key in ("k1", "k2", "k3"):
                    found = log.find(session_id, key)
                    assert [r.data for r in found[:1]] == [data for data, k in stream if k == key]
            for (session_id, text), commitment in self.bodies.items():
                assert log.vault(session_id).open(commitment) == text
        assert [r.hash for r in self.file.read_all()] == [r.hash for r in self.memory.read_all()]

    def teardown(self) -> None:
        """Both logs verify at the end."""
        self.file.close()
        assert verify(self.path) == ()
        assert verify(self.memory) == ()
        shutil.rmtree(self.folder)


TestLogMachine = LogMachine.TestCase
TestLogMachine.settings = settings(
    max_examples=25, stateful_step_count=20, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
