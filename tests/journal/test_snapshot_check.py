"""Snapshots that were stored whole and are wrong: each kind is found, at its place, and in its own words."""

from __future__ import annotations

import contextlib
import sqlite3

import attrs
import msgspec
import pytest

from clawvm_es import limits
from clawvm_es.engine.journal import Journal
from clawvm_es.journal import snapshots
from clawvm_es.journal.snapshots import seal
from clawvm_es.journal.snapshots.parts import OPENING, PARTS, decode_head, decode_opening, encode_head
from clawvm_es.storage import open_log

encode = msgspec.msgpack.encode
PAGES = next(part.number for part in PARTS if part.name == "pages")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A journal with a session of many pages and results, and its snapshots."""
    path = tmp_path_factory.mktemp("check") / "j.db"
    was, limits.SNAPSHOT_EVENTS = limits.SNAPSHOT_EVENTS, 32
    try:
        with Journal.open(path, seed=3, clock=lambda: 0) as journal:
            with journal.session("s", budget_tokens=400, counter="lines4") as session:
                for number in range(30):
                    session.user_says(f"message {number}")
                    session.tool("read", {"path": f"{number}"}, lambda path: f"text of {path}")
                    session.assemble()
            snapshots.rebuild(journal.log)
    finally:
        limits.SNAPSHOT_EVENTS = was
    return path


@pytest.fixture
def log(made, tmp_path):
    """A copy of that journal, opened."""
    path = tmp_path / "j.db"
    path.write_bytes(made.read_bytes())
    with open_log(path) as found:
        yield found


def problems(log) -> list[tuple[str, str]]:
    """Where and what the check says."""
    return [(problem.where, problem.detail) for problem in snapshots.snapshot_problems(log)]


def forge(log, row, **changes) -> None:
    """Change the head of a snapshot as its writer would have stored it."""
    head = decode_head(seal.open_head(row))
    forged = seal.seal_head(row, encode_head(msgspec.structs.replace(head, **changes)))
    write(log, "UPDATE snapshots SET head = ? WHERE snapshot_id = ?", forged.head, row.snapshot_id)


def forge_node(log, row, part: int, branch: bool, change) -> int:
    """Change a node that a snapshot points to, as its writer would have stored it; returns the node's number."""
    roots = decode_head(seal.open_head(row))._roots[part]
    number, node_id = max(roots.items())
    if not branch:
        nodes = log.snapshots().nodes([node_id])
        number, node_id = max(
            msgspec.msgpack.decode(open_(node_id, 2 * part + 1, number, nodes), type=dict[int, int]).items()
        )
    kind = 2 * part + branch
    payload = change(open_(node_id, kind, number, log.snapshots().nodes([node_id])))
    body = seal.seal_node(node_id, kind, number, payload)
    write(log, "UPDATE snapshot_nodes SET body = ? WHERE node_id = ?", body, node_id)
    return number


def open_(node_id: int, kind: int, number: int, nodes) -> bytes:
    """The payload of a stored node."""
    return seal.open_node(node_id, kind, number, nodes.get(node_id))


def write(log, statement: str, *cells) -> None:
    """Change the file behind the log's back."""
    with contextlib.closing(sqlite3.connect(log.path, isolation_level=None)) as db:
        db.execute(statement, cells)


def rows(log):
    """The snapshots of the session, in order."""
    found = log.snapshots().rows()
    assert len(found) > 4 and all(row.session_id == "s" for row in found)
    return found


def place(row) -> str:
    """How the check names a snapshot."""
    return f"session s version {row.version}"


def test_sound_snapshots_have_no_problems(log) -> None:
    """Each is what a fold from the one below gives, and a log without the tables has nothing to check."""
    assert problems(log) == [] and rows(log)[0].base is None
    assert [row.base for row in rows(log)[1:]] == [row.snapshot_id for row in rows(log)[:-1]]


def test_a_wrong_field_of_the_head_is_named(log) -> None:
    """The first field that a fold gives otherwise is told with both values, for the last snapshot of the chain."""
    last = rows(log)[-1]
    turn = decode_head(seal.open_head(last)).turn
    forge(log, last, turn=turn + 1)
    assert problems(log) == [(place(last), f"turn is {turn + 1}, a fold gives {turn}")]


def test_what_rests_on_a_wrong_snapshot_is_wrong_too(log) -> None:
    """A chain is checked link by link: a wrong first one is named, and the one that a fold from it contradicts."""
    first, second, *_ = rows(log)
    forge(log, first, budget_tokens=7)
    assert [where for where, _ in problems(log)] == [place(first), place(second)]


def test_a_wrong_count_is_named(log) -> None:
    """How many entries a mapping has is checked against the fold."""
    last = rows(log)[-1]
    counts = dict(decode_head(seal.open_head(last))._counts)
    forge(log, last, _counts={**counts, PAGES: counts[PAGES] + 1})
    assert problems(log) == [(place(last), f"pages has {counts[PAGES] + 1} entries, a fold gives {counts[PAGES]}")]


def test_a_wrong_leaf_is_named(log) -> None:
    """A leaf that the fold changed must hold exactly what the fold gives."""
    last = rows(log)[-1]

    def swap(payload: bytes) -> bytes:
        entries = msgspec.msgpack.decode(payload)
        key = next(reversed(entries))
        return encode({**entries, key: b"\x99" + entries[key][1:-1] + b"\x01"})

    number = forge_node(log, last, PAGES, False, swap)
    assert (place(last), f"pages differs in leaf {number}") in problems(log)


def test_a_wrong_way_to_the_rest_is_named(log) -> None:
    """What the fold did not change must be the very nodes of the snapshot below."""
    last = rows(log)[-1]

    def more(payload: bytes) -> bytes:
        return encode({**msgspec.msgpack.decode(payload, type=dict[int, int]), 3_000_000: 1})

    roots = decode_head(seal.open_head(last))._roots[PAGES]
    assert roots.keys() == {max(roots)}
    forge_node(log, last, PAGES, True, more)
    assert problems(log) == [(place(last), "pages leads to other nodes than the snapshot it rests on")]


@pytest.mark.parametrize(("name", "changes"), [("opened", {"counter": "words"}), ("profile", {"version": 99})])
def test_a_wrong_opening_is_named(log, name, changes) -> None:
    """How the session was opened and its policy are checked like the fields of the head."""

    def other(payload: bytes) -> bytes:
        opened, profile = decode_opening(payload)[0]
        if name == "opened":
            return encode({0: (msgspec.structs.replace(opened, **changes), profile)})
        return encode({0: (opened, replaced(profile, changes))})

    forge_node(log, rows(log)[-1], OPENING, False, other)
    found = problems(log)
    assert found and found[0][0] == place(rows(log)[0])
    assert found[0][1].startswith(f"{name} is ")


def replaced(profile, changes):
    """A changed copy of a policy."""
    return (
        attrs.evolve(profile, **changes) if attrs.has(type(profile)) else msgspec.structs.replace(profile, **changes)
    )


def test_a_missing_base_is_named(log) -> None:
    """A snapshot whose base is gone is told so, and those above it are as good as they were."""
    first, second, *_ = rows(log)
    write(log, "DELETE FROM snapshots WHERE snapshot_id = ?", first.snapshot_id)
    assert problems(log) == [(place(second), f"it rests on snapshot {first.snapshot_id}, which is missing")]


def test_a_snapshot_of_another_event_is_named(log) -> None:
    """A head whose hash is not its event's is of no event; one made by another program is not judged."""
    last = rows(log)[-1]
    other = attrs.evolve(last, event_hash=bytes(32))
    forged = seal.seal_head(other, seal.open_head(last))
    write(
        log,
        "UPDATE snapshots SET event_hash = ?, head = ? WHERE snapshot_id = ?",
        bytes(32), forged.head, last.snapshot_id,
    )  # fmt: skip
    assert problems(log) == [(place(last), f"it is of another event {last.version}")]
    write(log, "UPDATE snapshots SET made_by = 'x' WHERE snapshot_id = ?", last.snapshot_id)
    assert problems(log) == []


def test_a_damaged_event_below_a_snapshot_is_told_as_that(log) -> None:
    """Where the events cannot be folded the check says so and goes on to the next snapshot."""
    last = rows(log)[-1]
    write(log, "DROP TRIGGER events_update")
    write(log, "UPDATE events SET data = '{}' WHERE session_id = 's' AND version = ?", last.version - 1)
    found = problems(log)
    assert found and all("snapshot" in where or where.startswith("session s") for where, _ in found)
