"""Documents over HTTP: what the verbs print with --json, as far as one answer goes, and errors with a hint."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from clawvm_es import views
from clawvm_es.engine.journal import Journal
from clawvm_es.history.grep import words
from clawvm_es.history.levels import turns_of
from clawvm_es.views.reading import known_sessions
from clawvm_es.web.app import app
from clawvm_es.web.encode import encode
from clawvm_es.web.ids import key_of
from clawvm_es.web.sizes import LIMIT
from tests.web.conftest import HOSTILE, PORT, TOKEN, Client

ENVELOPE = {"journal", "head"}
ADDED = {"cut", "key"}
"""Members that answers have beside those of the document that a verb prints."""


def as_json(document):
    """A document as it arrives."""
    import json

    return json.loads(encode(document))


def told(got) -> dict:
    """An answer without its envelope."""
    assert got.status == 200, got.json
    return {name: value for name, value in got.json.items() if name not in ENVELOPE | ADDED}


@pytest.fixture(scope="module")
def log(journal):
    """The same journal, for the views."""
    with views.opened(journal) as log:
        yield log


@pytest.mark.parametrize(
    ("address", "view"),
    [
        ("blame/p2", lambda log: views.blame(log, "s", "p2")),
        ("blame/notes", lambda log: views.blame(log, "s", "notes")),
        ("losses", lambda log: views.lost(log, "s")),
        ("store", lambda log: views.store(log, "s") | views.store(log, "s", updates=True)),
        ("store?at=t3", lambda log: views.store(log, "s", turn=3) | views.store(log, "s", turn=3, updates=True)),
        ("grep?q=question+2", lambda log: views.grep(log, words("question 2"), "s")),
    ],
)
def test_an_answer_is_what_the_verb_prints(client, log, address, view):
    """One schema: the same view makes both."""
    assert told(client.get(f"/api/s/s/{address}")) == as_json(view(log))


def test_why_is_what_the_verb_prints(client, log):
    """With as many candidates as are asked for, and how many there are."""
    found = told(client.get("/api/s/s/t/4/why/p2?n=3"))
    whole = as_json(views.why(log, "s", "p2", turn=4))
    assert found.pop("candidates_total") == len(whole["candidates"]) > 3
    assert found.pop("candidates") == whole.pop("candidates")[:3]
    assert found == whole


def test_a_difference_is_what_the_verb_prints(client, log):
    """Between the ends of two turns, with the whole diff of the prompts."""
    found = told(client.get("/api/s/s/diff?a=t2&b=t3"))
    ends = [("s", views.version_at(log, "s", None, turn)) for turn in (2, 3)]
    whole = as_json(views.diff(log, *ends, unified=True))
    assert found.pop("pages_total") == len(whole["pages"]) > 0
    assert found == whole


def test_an_event_is_what_the_verb_prints(client, log):
    """Every event of the session, with its texts, and the events that it caused."""
    for version in (1, 5, 20):
        found = told(client.get(f"/api/s/s/e/{version}"))
        whole = as_json(views.show(log, "s", str(version)))
        assert found["texts"] == whole.pop("texts")
        assert found["event"] == whole
        assert all(views.show(log, "s", str(each))["cause"] == version for each in found["caused"])


def test_sessions_are_rows_of_the_verb_newest_first(client, log):
    """A page at a time; together they are all, with the form that each id has in an address."""
    rows = {row["session_id"]: row for row in as_json(views.sessions(log))["sessions"]}
    found, after = [], ""
    while after is not None:
        got = client.get(f"/api/sessions?limit=2&after={after}").json
        found += got["sessions"]
        after = got["next"]
        assert got["total"] == len(rows) == 3
    for row in found:
        assert row.pop("key") == key_of(row["session_id"])
        assert row.pop("mode") == "clawvm"
    assert {row["session_id"]: row for row in found} == rows
    assert [row["last_at"] for row in found] == sorted((row["last_at"] for row in found), reverse=True)
    assert [row["session_id"] for row in client.get("/api/sessions?q=ANOTHER").json["sessions"]] == []
    assert [row["session_id"] for row in client.get("/api/sessions?q=Question").json["sessions"]] == ["f", "s"]


@pytest.mark.parametrize("session", ["s", "f"])
def test_the_spans_of_a_turn_are_its_prompt(client, log, session):
    """Joined they are the bytes of `clawvm prompt`; offsets, tokens and origins are those of its provenance."""
    for turn in range(1, turns_of(log, session) + 1):
        found = told(client.get(f"/api/s/{session}/t/{turn}"))
        prompt = views.prompt(log, session, turn=turn)
        assert "".join(span["text"] for span in found["spans"]) == prompt["text"]
        assert found["matches"] is prompt["matches_commitment"] is True
        spans = as_json(views.provenance(log, session, turn=turn))["spans"]
        for span, whole in zip(found["spans"], spans, strict=True):
            for name in ("page_id", "level", "first_byte", "end_byte", "first_token", "end_token", "erased"):
                assert span[name] == whole[name]
            assert (span["origin"] or {}).get("source") == (whole["origin"] or {}).get("source")
        sizes = [span["end_token"] - span["first_token"] for span in spans]
        assert found["outline"][2::4] == sizes
        spare = 0 if any(span["page_id"] is None for span in spans) else found["directory_tokens"]
        assert found["tokens"] == found["fixed_tokens"] + sum(sizes) + spare


@pytest.mark.parametrize("session", ["s", "f"])
def test_spans_are_flagged_as_the_runs_of_the_map(client, session):
    """In every turn, in order: the same pages, levels and tokens, and the same arrivals and stale copies."""
    map_ = client.get(f"/api/s/{session}/map").json
    runs = [map_["runs"][at : at + 7] for at in range(0, len(map_["runs"]), 7)]
    seen = 0
    for row in map_["rows"]:
        column = sorted((run for run in runs if run[1] <= row[0] <= run[2]), key=lambda run: run[5])
        outline = client.get(f"/api/s/{session}/t/{row[0]}").json["outline"]
        spans = [outline[at : at + 4] for at in range(0, len(outline), 4) if outline[at]]
        assert [span[:3] for span in spans] == [[run[0], run[3], run[4]] for run in column]
        came = [bool(run[6] & 1) and run[1] == row[0] for run in column]
        assert [(bool(span[3] & 1), bool(span[3] & 2)) for span in spans] == [
            (new, bool(run[6] & 2)) for new, run in zip(came, column, strict=True)
        ]
        seen |= sum({run[6] & 3 for run in column})
    assert seen


def test_the_turns_tile_the_session(client, log):
    """First and last versions join without a gap, and every event of a turn is told once."""
    last = views.show(log, "s", "1")["version"] - 1
    for turn in range(0, turns_of(log, "s") + 1):
        found = told(client.get(f"/api/s/s/t/{turn}"))
        assert found["first"] == last + 1
        last = found["last"]
        assert [event["version"] for event in found["events"]] == list(range(found["first"], last + 1))
    assert last == client.get("/api/s/s/map").json["head"]["version"]


def test_texts_and_events_go_on_where_an_answer_ends(tmp_path):
    """A prompt of long texts comes in pieces, which together are the prompt, byte for byte."""
    texts = ["\u4e00" * 30_000, 'a"\n' * 30_000, "\ud800x" * 12_000, "short"]
    with (
        Journal.open(tmp_path / "j.db", seed=1) as journal,
        journal.session("s", budget_tokens=2_000_000, counter="lines4") as session,
    ):
        for text in texts:
            session.user_says(text)
        for number in range(300):
            session.user_says(f"one of many {number}")
        prompt = session.assemble().text
    client = Client(app(str(tmp_path / "j.db"), TOKEN, PORT))
    got = client.get("/api/s/s/t/1")
    assert len(got.body) <= LIMIT
    found = got.json
    spans, after = found["spans"], found["spans_next"]
    while after is not None:
        more = client.get(f"/api/s/s/t/1/spans?from={after}")
        assert len(more.body) <= LIMIT
        spans, after = spans + more.json["spans"], more.json["spans_next"]
    assert [span["i"] for span in spans] == list(range(found["spans_total"]))
    whole = []
    for span in spans:
        text, end = span["text"], len(span["text"])
        assert span["cut"] == (end < span["chars"])
        while end is not None and end < span["chars"]:
            piece = client.get(f"/api/s/s/t/1/span/{span['i']}?offset={end}").json
            assert piece["text"]
            text, end = text + piece["text"], piece["next"]
        whole.append(text)
    assert "".join(whole) == prompt
    events, after = [], 0
    while after is not None:
        more = client.get(f"/api/s/s/t/0/events?after={after}").json
        events, after = events + more["events"], more["events_next"]
    assert [event["version"] for event in events] == list(range(1, more["events_total"] + 1))


@pytest.mark.parametrize(
    ("address", "status", "error"),
    [
        ("/api/s/none/map", 404, "there is no session 'none'"),
        ("/api/s/s/t/999", 404, "session s has no turn 999"),
        ("/api/s/s/t/x", 404, "there is no turn 'x'"),
        ("/api/s/s/t/1/span/9999", 404, "turn 1 has no span 9999"),
        ("/api/s/s/t/1/why/p999", 404, "session s has no page p999"),
        ("/api/s/s/page/p999", 404, "session s has no page p999 there"),
        ("/api/s/s/blame/nothing", 404, "session s has no page or field 'nothing' there"),
        ("/api/s/s/e/99999", 404, "session s has no version 99999"),
        ("/api/s/s/e/1.5", 404, "there is no event '1.5'"),
        ("/api/s/~!/map", 400, "'~!' is no id in an address"),
        ("/api/s/s/map?from=999", 400, "session s has no turns 999 to 6"),
        ("/api/s/s/map?from=-1", 400, "from='-1': must be a whole number from 1"),
        ("/api/s/s/map?bins=99999", 400, "bins 99999: must be from 1 to 400"),
        ("/api/s/s/grep", 400, "q= is missing"),
        ("/api/s/s/grep?q=---", 400, "there is no word in '---'"),
        ("/api/s/s/diff?a=2&b=t3", 400, "a='2': must be tN (the end of turn N) or vN (after event N)"),
        ("/api/s/s/diff?a=t2&b=t99", 400, "session s has no turn 99"),
        ("/api/nothing", 404, "there is nothing at /api/nothing"),
    ],
)
def test_an_error_says_what_and_where(client, address, status, error):
    """One line, a hint or none, and what kind of error it is."""
    got = client.get(address)
    assert (got.status, got.json["error"]) == (status, error)
    assert set(got.json) == {"error", "hint", "kind"}


def test_a_session_is_found_by_the_beginning_of_its_id(client):
    """As in the command line; an id that is markup comes as base64url."""
    key = key_of("<b>&")
    assert key.startswith("~") and client.get(f"/api/s/{key}/map").json["session_id"] == "<b>&"
    (row,) = (row for row in client.get("/api/sessions").json["sessions"] if row["session_id"] == "<b>&")
    assert row["key"] == key


def test_hostile_texts_arrive_as_they_are(client):
    """Markup, bidi characters, NUL and lone surrogates are data: valid JSON, nothing escaped away."""
    got = client.get(f"/api/s/{key_of('<b>&')}/t/1")
    assert got.headers["content-type"] == "application/json"
    texts = [event["title"] for event in client.get(f"/api/s/{key_of('<b>&')}/t/0").json["events"]]
    assert any(HOSTILE in (title or "") for title in texts)
    assert any("\ud800" in span["text"] for span in got.json["spans"])


def test_nothing_is_written(client, journal):
    """LAW-WEB-1: whatever is asked, the bytes of the journal stay the same."""
    before = hashlib.sha256(Path(journal).read_bytes()).digest()
    for address in (
        "map",
        "t/3",
        "t/3/why/p2",
        "page/p2",
        "diff?a=t1&b=t2",
        "grep?q=answer",
        "e/3",
        "losses",
        "store",
    ):
        assert client.get(f"/api/s/s/{address}").status == 200
    assert hashlib.sha256(Path(journal).read_bytes()).digest() == before


def test_every_answer_says_of_which_moment_it_is(client, log):
    """The journal as it was named, the head of the session, and the time that the answer took."""
    for address in ("map", "t/1", "page/p1"):
        got = client.get(f"/api/s/s/{address}")
        head = log.head("s")
        assert got.json["head"] == {"version": head.version, "hash": head.hash.hex()}
        assert got.headers["server-timing"].startswith("app;dur=")
    assert set(known_sessions(log)) == {"s", "f", "<b>&"}
