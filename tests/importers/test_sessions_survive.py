"""A bad session of a file takes no other with it, whatever it is."""

from __future__ import annotations

import copy
import io
import json
import zipfile
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clawvm_es.errors import UnreadableInput
from clawvm_es.importers import Recording, read_bytes
from tests.importers import bases, spans
from tests.importers.test_odd_json import changed, odd_values, places


def sweagent(number: int) -> Any:
    """A trajectory."""
    session = copy.deepcopy(bases.SWEAGENT)
    session["history"][1]["content"] = f"fix {number}"
    return session


def openhands(number: int) -> Any:
    """A result."""
    return {**copy.deepcopy(bases.OPENHANDS), "instance_id": f"task-{number}"}


def sample(number: int) -> Any:
    """A sample of a log."""
    return {**copy.deepcopy(bases.INSPECT["samples"][0]), "uuid": f"abcdefgh{number}"}


def exported(number: int) -> Any:
    """An export of a conversation's spans."""
    text = json.dumps(spans.export(*spans.conventions())).replace("conversation-1", f"conversation-{number}")
    return json.loads(text.replace('"t1"', f'"t{number}"'))


def lines(sessions: list[Any]) -> bytes:
    """Sessions as JSON Lines."""
    return "".join(f"{json.dumps(session)}\n" for session in sessions).encode()


def log(sessions: list[Any]) -> bytes:
    """Samples as a log."""
    return json.dumps({**bases.INSPECT, "samples": sessions}).encode()


def archive(sessions: list[Any]) -> bytes:
    """Samples as an archive."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as file:
        for number, session in enumerate(sessions):
            file.writestr(f"samples/{number}.json", json.dumps(session))
    return out.getvalue()


MAKERS = {
    "sweagent": (sweagent, lambda sessions: json.dumps(sessions).encode()),
    "openhands": (openhands, lines),
    "inspect": (sample, log),
    "inspect archive": (sample, archive),
    "otel": (exported, lines),
}


def read(name: str, data: bytes) -> dict[str, Recording]:
    """The sessions of a file by their ids."""
    return {recording.session_id: recording for recording in read_bytes(data, "f", name.split(maxsplit=1)[0])}


@pytest.mark.parametrize("name", MAKERS)
@settings(deadline=None)
@given(data=st.data())
def test_the_other_sessions_are_read(name: str, data: st.DataObject) -> None:
    """Between two good sessions any JSON may stand, or a session with any value replaced: both are read."""
    make, write = MAKERS[name]
    bad = make(2)
    if data.draw(st.booleans()):
        bad = data.draw(odd_values.filter(lambda value: value is not ...))
    else:
        path = data.draw(st.sampled_from(list(places(bad))))
        bad = changed(bad, path, data.draw(odd_values))
    try:
        found = read(name, write([make(1), bad, make(3)]))
    except UnreadableInput as error:
        assert "nested too deep" in str(error) and write is not archive  # one JSON text is read whole or not at all
        return
    for good in (make(1), make(3)):
        for session_id, recording in read(name, write([good])).items():
            assert found[session_id].steps == recording.steps
