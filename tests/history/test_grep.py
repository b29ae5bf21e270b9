"""Full-text search: what is found, where it stands, and that an index changes nothing but the time."""

import re
import shutil
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clawvm_es.engine.hooks import Settings
from clawvm_es.engine.journal import Journal
from clawvm_es.engine.store import FieldSchema
from clawvm_es.errors import UsageError
from clawvm_es.history.grep import Query, grep, words
from clawvm_es.history.redact import Target, redact
from clawvm_es.projections import projections_problems, texts_behind
from clawvm_es.storage import open_log

GOLDEN = Path(__file__).parents[1] / "golden"
SETTINGS = Settings(fields={"note": FieldSchema()})


def told(hits):
    """What was found, in short."""
    return [(hit.session_id, hit.type, hit.what, hit.line[hit.start : hit.end]) for hit in hits]


@pytest.fixture
def path(tmp_path):
    """A journal with a session that says things in every place that takes a text."""
    with Journal.open(tmp_path / "j.db") as journal:
        with journal.session("a", counter="lines4", settings=SETTINGS) as session:
            session.write_page("constraint", "- Never deploy on Friday.")
            evidence = session.user_says("Where is the Café?\nWe deploy tomorrow")
            (call,) = session.observe_model("I look", [("search", {"q": "deploy window"})])
            session.observe_result(call, "nothing\nthe deploy  window is open\n" * 20)
            session.recall("deploy window", [])
            session.stage("note", "append", "deploy at noon", evidence=evidence)
        with journal.session("b", counter="lines4") as other:
            other.user_says("deploy \udc80 broken text")
    return tmp_path / "j.db"


def test_every_place_that_takes_a_text_is_searched(path):
    """Pages and their sources, arguments, queries and values; a result that a page holds is the page's."""
    with Journal.open(path) as journal:
        found = told(grep(journal.log, words("DEPLOY")))
    assert found == [
        ("a", "page_written", "constraint page p1", "deploy"),
        ("a", "page_written", "conversation page p2", "deploy"),
        ("a", "tool_called", "arguments of call 1", "deploy"),
        ("a", "page_written", "evidence page p4", "deploy"),
        ("a", "page_written", "source of page p4", "deploy"),
        ("a", "recall_answered", "query of recall 1", "deploy"),
        ("a", "update_staged", "value of update 1", "deploy"),
        ("b", "page_written", "conversation page p1", "deploy"),
    ]


def test_bodies_are_indexed_by_the_first_search_that_may_write(path):
    """Neither a commit point nor close nor a reader's search fills the index, and what they find is the same."""
    with open_log(path, read_only=True) as log:
        behind = texts_behind(log)
        found = told(grep(log, words("deploy")))
        assert behind == texts_behind(log) > 0
    with open_log(path) as log:
        assert told(grep(log, words("deploy"))) == found
        assert texts_behind(log) == 0 and projections_problems(log) == []


def test_words_phrases_and_patterns(path):
    """All words, phrases as they stand, no accents; a pattern sees the text itself."""
    with Journal.open(path) as journal:
        log = journal.log
        assert [hit.page_id for hit in grep(log, words("cafe tomorrow"))] == ["p2"]
        assert [hit.version for hit in grep(log, words('"window deploy"'))] == []
        assert len(list(grep(log, words('"deploy window"')))) == 4
        assert told(grep(log, Query(pattern=re.compile(r"deploy\s\swin")))) == [
            ("a", "page_written", "evidence page p4", "deploy  win")
        ]
        assert [hit.type for hit in grep(log, words("deploy"), session_id="a", types=["tool_called"])] == [
            "tool_called"
        ]
        assert [hit.page_id for hit in grep(log, words("deploy"), session_id="a", upto=2)] == ["p1"]


def test_a_fork_is_searched_with_its_parents(path):
    """What a session holds by way of its parents is found in it, too."""
    with Journal.open(path) as journal:
        with journal.fork("a", "fork"):
            pass
        assert len(list(grep(journal.log, words("deploy"), session_id="fork"))) == 7


def test_what_is_erased_is_not_found(path):
    """An erased text says nothing, by word or by pattern."""
    with Journal.open(path) as journal:
        redact(journal.log, Target("a", page_id="p4"), at_us=1)
        assert "evidence page p4" not in [hit.what for hit in grep(journal.log, words("deploy"))]
        assert list(grep(journal.log, Query(pattern=re.compile("is open")))) == []


def test_no_word_is_no_query():
    """Signs alone cannot be looked up."""
    for text in ("", "***", '""'):
        with pytest.raises(UsageError):
            words(text)


def test_words_inside_of_a_run_are_found(tmp_path):
    """Chinese and Japanese words in running text, a Latin word among them, and accents that stand apart."""
    with Journal.open(tmp_path / "j.db") as journal:
        with journal.session("s", counter="lines4") as session:
            session.user_says("数据库连接失败,检查itgc的配置")
            session.user_says("データベースの接続エラー in the cafe\u0301")
        for indexed in (False, True):
            if indexed:
                journal.catch_up()
            found = {
                asked: told(grep(journal.log, words(asked))) for asked in ("连接", "ITGC", "接続", "Caf\xe9", "接连")
            }
            assert {asked: [hit[3] for hit in hits] for asked, hits in found.items()} == {
                "连接": ["连接"], "ITGC": ["itgc"], "接続": ["接続"], "Caf\xe9": ["caf\xe9"], "接连": []
            }  # fmt: skip


def test_journals_of_older_programs_are_searched_and_not_written(tmp_path):
    """A text index of another version is left alone by reading, finds nothing less, and is replaced by a catch-up."""
    path = tmp_path / "j.db"
    shutil.copy(GOLDEN / "frames_1.journal", path)
    before = path.read_bytes()
    with Journal.open(path, read_only=True) as journal:
        assert [hit.page_id for hit in grep(journal.log, words("obey"))] == ["p2"]
    assert path.read_bytes() == before
    with Journal.open(path, seed=1) as journal:
        journal.catch_up()
        assert [hit.page_id for hit in grep(journal.log, words("obey"))] == ["p2"]
        assert projections_problems(journal.log) == []


def test_an_old_index_forgets_what_is_erased(tmp_path):
    """Erasure cleans an index that an older program made, before anything replaced it."""
    path = tmp_path / "j.db"
    shutil.copy(GOLDEN / "frames_1.journal", path)
    with Journal.open(path, seed=1) as journal:
        redact(journal.log, Target("s", page_id="p2"), at_us=1)
    assert b"obey" not in path.read_bytes()


def test_what_cannot_be_searched_is_told():
    """Parts of a query that hold no word are named."""
    assert words("*** deploy").unsearched == ("***",)
    assert words("deploy").unsearched == ()


def test_rare_words_are_placed_without_reading_all_events(path, monkeypatch):
    """Where few bodies hold what is asked, only the events that name them are read: no stream is gone through."""
    with Journal.open(path) as journal:
        with journal.fork("a", "fork"):
            pass
        asked = [(words("never friday"), None), (words("window"), "fork")]
        read = [told(hit for hit in grep(_Scanned(journal.log), query, session_id=one)) for query, one in asked]
        monkeypatch.setattr(type(journal.log), "read", _not_read)
        assert [told(grep(journal.log, query, session_id=one)) for query, one in asked] == read
        assert [len(hits) for hits in read] == [1, 4]


class _Scanned:
    """A log without a text index, which is searched event by event."""

    capabilities = frozenset()

    def __init__(self, log):
        self.log = log

    def __getattr__(self, name):
        return getattr(self.log, name)


def _not_read(*_, **__):
    raise AssertionError("a stream was read")


PIECES = (
    "alpha",
    "Beta",
    "gämma",
    "ga\u0308mma",
    "delta-7",
    "x_y",
    "\n",
    "ΑΒΓ",
    "连接",
    "接",
    "了itgc的",
    "が",
    "\ud800",
)
TEXTS = st.lists(st.sampled_from(PIECES), min_size=1, max_size=8)


@settings(max_examples=40, deadline=None)
@given(
    texts=st.lists(TEXTS.map(" ".join) | TEXTS.map("".join), min_size=1, max_size=6),
    asked=TEXTS.map(" ".join) | st.sampled_from(PIECES),
    kept=st.integers(0, 6),
)
def test_the_index_changes_nothing_but_the_time(tmp_path_factory, texts, asked, kept):
    """LAW-GREP-1: indexed, not yet indexed, or in memory without any index: the same texts are found."""
    try:
        query = words(asked)
    except UsageError:
        return
    with Journal.open(":memory:") as memory, Journal.open(tmp_path_factory.mktemp("g") / "j.db") as file:
        for journal in (memory, file):
            with journal.session("s", counter="lines4") as session:
                for number, text in enumerate(texts):
                    session.user_says(text)
                    if number == kept:
                        journal.catch_up()
        assert told(grep(file.log, query)) == told(grep(memory.log, query))
