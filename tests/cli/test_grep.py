"""`clawvm grep` at a shell."""

import json

import pytest

from clawvm_es.engine.journal import Journal


@pytest.fixture
def journal(tmp_path):
    """A journal with two turns of talk about a rate limit."""
    with Journal.open(tmp_path / "j.db") as journal, journal.session("talk", counter="lines4") as session:
        for turn in range(2):
            session.user_says(f"the rate limit was hit {turn} times")
            session.assemble()
            session.observe_model("retry after the limit")
    return tmp_path / "j.db"


def test_hits_name_event_text_and_line(run, journal):
    """Text for people, a document for programs."""
    code, out, _ = run("grep", journal, '"rate limit"')
    assert code == 0 and out.splitlines()[0].startswith(
        "talk v2 t0 conversation page p1 (full): the rate limit was hit"
    )
    code, out, _ = run("grep", journal, "LIMIT rate", "--turn", 1, "--json")
    document = json.loads(out)
    assert code == 0 and [(hit["turn"], hit["page_id"]) for hit in document["hits"]] == [(1, "p3")]
    assert document["more"] is False


def test_limits_and_patterns(run, journal):
    """At most so many, and said; patterns with and without case."""
    code, out, _ = run("grep", journal, "limit", "-n", 1)
    assert code == 0 and len(out.splitlines()) == 2 and "more" in out
    assert run("grep", journal, "RATE", "--regex")[0] == 1
    assert run("grep", journal, "RATE.limit", "--regex", "-i")[0] == 0


@pytest.mark.parametrize("wrong", [("***",), ("(", "--regex"), ("x", "--type", "nothing"), ("x", "--turn", 99)])
def test_wrong_usage(run, journal, wrong):
    """No word, a broken pattern, an unknown type or turn: exit code 2 and one line."""
    code, out, err = run("grep", journal, *wrong)
    assert (code, out, err.count("\n")) == (2, "", 1)


def test_nothing_found_is_exit_code_1(run, journal):
    """As grep does it."""
    assert run("grep", journal, "unheard")[0] == 1


def test_texts_that_are_not_indexed_are_scanned_and_told(run, journal):
    """One line on stderr says how many, and the option that indexes them; after that there is nothing to say."""
    scanned = json.loads(run("grep", journal, "limit", "--json")[1])["scanned"]
    first, second, third = (run("grep", journal, "limit", *more) for more in ((), ("--index",), ()))
    assert scanned and first[2] == (
        f"clawvm: scanned {scanned} texts that no index holds yet (grep --index indexes them)\n"
    )
    assert first[:2] == second[:2] == third[:2]
    assert second[2] == third[2] == ""
