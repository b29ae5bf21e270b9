"""`clawvm check` and the filters of `sessions`, as a user meets them."""

from __future__ import annotations

import json
from importlib.resources import as_file, files

import pytest

from clawvm_es.engine.journal import Journal
from clawvm_es.importers.replay import ReplaySettings, replay

ROW = {
    "type": "user",
    "uuid": "u",
    "sessionId": "other",
    "timestamp": "2026-05-01T10:00:00Z",
    "message": {"role": "user", "content": "Something else"},
}


@pytest.fixture(scope="module")
def journal(tmp_path_factory):
    """A journal with the bundled session as its harness had it, and a short one of another day."""
    folder = tmp_path_factory.mktemp("check")
    (folder / "other.jsonl").write_text(json.dumps(ROW) + "\n")
    with Journal.open(folder / "j.db") as journal, as_file(files("clawvm_es.cli") / "demo_session.jsonl") as file:
        for each in (file, folder / "other.jsonl"):
            replay(journal, each, ReplaySettings(as_recorded=True))
    return folder / "j.db"


@pytest.mark.parametrize(
    ("claim", "code"),
    [("resident(plan) at turn 10", 0), ("resident(plan) at turn 16", 1), ("resident(p99)", 2), ("resident(", 2)],
)
def test_the_exit_code_says_whether_it_holds(run, journal, claim, code):
    """0: it holds, 1: it does not, 2: there is no such page, or it is no claim."""
    found, out, err = run("check", journal, claim, "-s", "demo")
    assert found == code
    assert {0: "holds: ", 1: "does not hold: ", 2: ""}[code] in out and bool(err) is (code == 2)


def test_what_shows_a_claim_false_has_a_turn_and_a_title(run, journal):
    """The page and its title, and the same as a document."""
    code, out, _ = run("check", journal, "never absent(bootstrap)", "-s", "demo")
    assert code == 1 and "turn 15: p3 “Read CLAUDE.md”" in out
    code, out, _ = run("check", journal, "never absent(bootstrap)", "-s", "demo", "--json")
    found = json.loads(out)
    assert (code, found["holds"], found["turn"]) == (1, False, 15)
    assert found["pages"] == [{"page_id": "p3", "title": "Read CLAUDE.md"}]


def test_a_claim_can_be_checked_under_a_policy(run, journal):
    """What the harness dropped, clawvm keeps; it needs a budget."""
    under = ("-s", "demo", "--policy", "clawvm", "--budget", "1000")
    assert run("check", journal, "never absent(bootstrap)", *under)[0] == 0
    code, _, err = run("check", journal, "misses < 9", "-s", "demo", "--policy", "clawvm")
    assert code == 2 and "no budget" in err


def test_a_recording_is_checked_like_a_journal(run, journal, tmp_path):
    """Without texts, so that pages have no titles."""
    place = tmp_path / "s.clawvm.jsonl"
    assert run("export", journal, "-s", "demo", "--as", "recording", "-o", place)[0] == 0
    assert run("check", place, "misses == 5")[0] == 0
    code, out, _ = run("check", place, "misses < 5")
    assert code == 1 and "turn 27" in out
    assert run("check", place, "misses < 5", "-s", "nobody")[0] == 2


@pytest.mark.parametrize(
    ("filters", "left"),
    [
        ([], ["demo-order-service", "other"]),
        (["--since", "2026-05-01"], ["other"]),
        (["--until", "2026-04-30"], ["demo-order-service"]),
        (["--since", "2026-03-02", "--until", "2026-03-02"], ["demo-order-service"]),
        (["--folder", "srv/ORDERS"], ["demo-order-service"]),
        (["--folder", "nowhere"], []),
        (["--text", "something"], ["other"]),
        (["--text", "order-serv"], ["demo-order-service"]),
    ],
)
def test_sessions_are_found_by_date_folder_and_title(run, journal, filters, left):
    """Whatever the case; both ends of a range of days belong to it."""
    code, out, _ = run("sessions", journal, "--json", *filters)
    assert code == 0 and [one["session_id"] for one in json.loads(out)["sessions"]] == left


def test_sessions_tell_what_was_used_and_lost(run, journal):
    """Folder, compactions, usage and losses of an imported session."""
    one = json.loads(run("sessions", journal, "-s", "demo", "--json")[1])["sessions"][0]
    assert (one["folder"], one["compactions"], one["misses"]) == ("/srv/orders", 1, 5)
    assert one["usage"]["output_tokens"] == 1620
    _, out, _ = run("sessions", journal)
    assert "compactions" in out and "lost" in out and "input tokens" in out
    assert run("sessions", journal, "--since", "yesterday")[0] == 2


def test_a_prompt_says_whose_it_is_and_what_the_recorded_call_had(run, journal):
    """As recorded, in pages; under a policy as that would have sent it; both beside the provider's count."""
    code, out, _ = run("prompt", journal, "-s", "demo", "--turn", "16", "--outline")
    assert code == 0 and "turn 16: 154 tokens as recorded, in pages; the recorded call had 3,192" in out
    found = json.loads(run("prompt", journal, "-s", "demo", "--turn", "16", "--json")[1])
    assert (found["policy"], found["provider_tokens"], found["matches_commitment"]) == ("recorded", 3192, None)
    assert found["text"].startswith("<page") and [each["page_id"] for each in found["pieces"]] == [
        "p30",
        "p31",
        "p32",
    ]
    assert run("why", journal, "p4", "-s", "demo", "--turn", "16")[1].startswith("p4 was absent")
