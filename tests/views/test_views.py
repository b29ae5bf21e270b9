"""Views are plain data, and `--json` prints them."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import datetime

import attrs
import pytest

from clawvm_es import views
from clawvm_es.cli.main import main
from clawvm_es.engine.hooks import Settings
from clawvm_es.engine.journal import Journal
from clawvm_es.history.grep import words
from clawvm_es.projections import snapshot_at
from clawvm_es.projections.tables import UPDATES
from clawvm_es.views import reading
from tests.engine.conftest import FIELDS
from tests.engine.test_shell import busy

OURS, WEAK = "demo-clawvm", "demo-retrieval"

ASKED = {
    "sessions": (views.sessions, []),
    "log": (lambda log: views.log(log, OURS, turn=3), ["-s", OURS, "--turn", "3"]),
    "show": (lambda log: views.show(log, OURS, "7"), ["7", "-s", OURS]),
    "show page": (lambda log: views.page(log, OURS, "p3"), ["p3", "-s", OURS]),
    "pages": (lambda log: views.pages(log, OURS, turn=10), ["-s", OURS, "--turn", "10"]),
    "prompt": (lambda log: views.prompt(log, OURS, turn=10), ["-s", OURS, "--turn", "10"]),
    "prompt outline": (lambda log: views.prompt(log, OURS, outline=True), ["-s", OURS, "--outline"]),
    "prompt spans": (lambda log: views.provenance(log, OURS), ["-s", OURS, "--provenance"]),
    "store": (lambda log: views.store(log, history=True), ["--history"]),
    "store updates": (lambda log: views.store(log, OURS, updates=True), ["-s", OURS, "--updates"]),
    "faults": (views.faults, []),
    "trace": (lambda log: views.trace(log, WEAK, page="p3"), ["-s", WEAK, "--page", "p3"]),
    "stats": (views.stats, []),
    "stats turns": (lambda log: views.turns(log, OURS), ["-s", OURS, "--turns"]),
    "why": (lambda log: views.why(log, OURS, "p3", turn=9), ["p3", "-s", OURS, "--turn", "9"]),
    "blame": (lambda log: views.blame(log, OURS, "p5"), ["p5", "-s", OURS, "--rejected"]),
    "grep": (lambda log: views.grep(log, words("refund"), OURS), ["refund", "-s", OURS]),
    "diff": (lambda log: views.diff(log, (OURS, 20), (OURS, 90)), ["20", "90", "-s", OURS]),
    "diff runs": (lambda log: views.diff(log, (OURS, None), (WEAK, None)) | {"against": None}, [OURS, WEAK]),
}
"""What is asked → the view, and the arguments of the verb that prints it."""


@pytest.fixture(scope="module")
def journal(tmp_path_factory):
    """The journal of the demo."""
    path = tmp_path_factory.mktemp("views") / "demo.db"
    with pytest.raises(SystemExit):
        main(["demo", "--journal", str(path)])
    return path


@pytest.fixture
def run(capsys):
    """Run the program in this process; its stdout."""

    def runner(*arguments) -> str:
        capsys.readouterr()
        with pytest.raises(SystemExit):
            main([str(argument) for argument in arguments])
        return capsys.readouterr().out

    return runner


@pytest.mark.parametrize("asked", ASKED)
def test_json_prints_the_view(run, journal, asked):
    """`--json` prints the view of the verb, beside the path of the journal; the view is plain data."""
    view, arguments = ASKED[asked]
    with views.opened(str(journal)) as log:
        document = json.loads(json.dumps(view(log)))
    printed = json.loads(run(asked.split()[0], "--journal", journal, *arguments, "--json"))
    printed.pop("journal", None)
    assert printed == document
    assert document


def test_every_view_is_there():
    """Each public name loads, and no other name does."""
    assert all(callable(getattr(views, name)) for name in views.__all__)
    with pytest.raises(AttributeError):
        views.nothing  # noqa: B018


def test_naming_views_loads_none_of_them():
    """A program that imports `views` pays for a view when it uses it."""
    code = "import sys, clawvm_es.views as v; print([m for m in sys.modules if m.startswith(f'{v.__name__}.')])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_what_names_a_page_has_its_title(journal):
    """Pages, faults, decisions, pieces and events tell what their page is about: its source, else its first line."""
    with views.opened(str(journal)) as log:
        pages = {page["page_id"]: page["title"] for page in views.pages(log, OURS)["pages"]}
        faults = views.faults(log, WEAK)["faults"]
        decisions = views.trace(log, OURS)["decisions"]
        pieces = views.prompt(log, OURS)["pieces"]
        events = views.log(log, OURS)["events"]
    assert all(pages.values()) and pages["p3"] == "Read CLAUDE.md"
    assert all(fault["title"] for fault in faults if fault["page_id"])
    assert all(row["title"] == pages.get(row["page_id"]) for row in [*decisions, *pieces])
    assert {each["title"] for each in events if "page_id" in each["data"]} == set(pages.values())


def test_sessions_have_titles_and_times(journal):
    """A session is told by its first prompt, and by when it began and ended, in UTC."""
    with views.opened(str(journal)) as log:
        for session in views.sessions(log)["sessions"]:
            assert session["title"]
            started, ended = (datetime.fromisoformat(session[name]) for name in ("started", "ended"))
            assert started.tzinfo is not None and started <= ended


def test_blame_tells_the_difference_between_versions(journal):
    """A later version of a text has its unified diff; the first has none."""
    with views.opened(str(journal)) as log:
        versions = views.blame(log, OURS, "p5")["contents"]
    first, *later = versions
    assert first["diff"] is None and later
    for was, now in zip(versions, later, strict=False):
        added = [line[1:] for line in now["diff"] if line.startswith("+")]
        assert all(line in now["text"].splitlines() for line in added)
        assert bool(now["diff"]) == (was["text"] != now["text"])


@pytest.mark.parametrize("session_id", ["s", "f"])
def test_updates_at_a_place_are_what_a_fold_up_to_it_makes_of_them(tmp_path_factory, monkeypatch, session_id):
    """After every event, of a session and of a fork; folded from the first event on only where one went on since."""
    with Journal.open(tmp_path_factory.mktemp("store") / "j.db", seed=1, clock=lambda: 0) as journal:
        with journal.session("s", budget_tokens=700, counter="lines4", settings=Settings(fields=FIELDS)) as session:
            busy(session)
        with journal.fork("s", "f", at=60) as fork:
            fork.user_says("another way")
            fork.assemble()
        folds, end = [], journal.log.head(session_id).version
        monkeypatch.setattr(reading, "snapshot_at", lambda *at: folds.append(at) or snapshot_at(*at))
        for version in range(1, end + 1):
            wanted = snapshot_at(journal.log, session_id, version).rows(UPDATES, session_id)
            found = views.store(journal.log, session_id, version=version, updates=True)["updates"]
            kept = [{name: row[name] for name in attrs.asdict(wanted[0]) if name != "field"} for row in found]
            assert kept == [
                {name: value for name, value in attrs.asdict(row).items() if name != "field"} for row in wanted
            ]
        assert found and (session_id == "f" or 0 < len(folds) < end / 2)
