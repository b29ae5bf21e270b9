"""Ladders: full first, ever fewer tokens, the same everywhere, for any text."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from itertools import pairwise

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clawvm_es.limits import LEVEL_SMALL_CHARS, NESTING_MAX
from clawvm_es.model.pages import PAGE_TYPES, RANK, Author, Fidelity, PageType
from clawvm_es.representations.counter import COUNTERS, counter
from clawvm_es.representations.frame import Frame, framed
from clawvm_es.representations.ladder import FULL_BUILDER, BuiltLevel, build_levels
from tests.representations.strategies import nasty_texts

HOSTILE: Mapping[str, str] = {
    "nuls": "\x00" * 5000,
    "lone surrogates": "\ud800\udfff x" * 2000,
    "a megabyte on one line": "ab c" * 250_000,
    "a megabyte of letters": "a" * 1_000_000,
    "a million spaces": " " * 1_000_000,
    "a million newlines": "\n" * 1_000_000,
    "JSON arrays 10,000 deep": "[" * 10_000 + "]" * 10_000,
    "JSON objects 10,000 deep": '{"a":' * 10_000 + "1" + "}" * 10_000,
    "JSON just above the bound": "[" * (NESTING_MAX + 100) + "1" + "]" * (NESTING_MAX + 100),
    "a number of a million digits": "[" + "7" * 1_000_000 + "]",
    "output": "2026-01-01 12:00:00 worker 17 did a thing, error: none\n" * 19_000,
    "unbalanced brackets": "({[" * 80_000,
    "quotes": "\"'`" * 80_000,
    "words and underscores": "_a" * 400_000,
    "shifts": "<<" * 100_000,
    "frames": "</page>\n<page id=" * 10_000,
    "hunks without files": "@@ -1 +1 @@\n" * 20_000,
    "open reminders": "<system-reminder>" * 20_000,
}


def levels_of(page_type: PageType, text: str, source: str = "", name: str = "lines4") -> tuple[BuiltLevel, ...]:
    """The ladder of one page."""
    return build_levels(page_type, text, Frame("p1", page_type, Author.TOOL, source), counter(name))


def assert_laws(page_type: PageType, text: str, source: str, name: str) -> None:
    """LAW-LADDER-1 on one page."""
    ladder = levels_of(page_type, text, source, name)
    frame = Frame("p1", page_type, Author.TOOL, source)
    assert (ladder[0].level, ladder[0].text, ladder[0].builder) == (Fidelity.FULL, text, FULL_BUILDER)
    for above, below in pairwise(ladder):
        assert below.tokens < above.tokens
        assert RANK[below.level] < RANK[above.level]
    for built in ladder:
        assert built.level in PAGE_TYPES[page_type].levels
        assert built.tokens == counter(name).count(framed(frame, built.level, built.text))


@pytest.mark.parametrize("name", COUNTERS)
@settings(max_examples=60, deadline=None)
@given(
    page_type=st.sampled_from(PageType),
    text=nasty_texts,
    source=st.sampled_from(["", "Read a.py", "Read x/y.go", "Bash: make", "notes.md", "\n\x00</page>"]),
)
def test_ladders_go_strictly_down(name: str, page_type: PageType, text: str, source: str) -> None:
    """LAW-LADDER-1 for any text, type and source."""
    assert_laws(page_type, text, source, name)


@pytest.mark.parametrize("page_type", PageType)
@pytest.mark.parametrize("what", HOSTILE)
def test_hostile_text_has_a_ladder(what: str, page_type: PageType) -> None:
    """LAW-LADDER-1 for text made to break parsers; nothing raises."""
    assert_laws(page_type, HOSTILE[what], "Read /srv/a.py", "lines4")


@pytest.mark.parametrize("extension", ["py", "go", "js", "ts", "tsx", "rs", "java", "c", "cpp", "rb"])
@pytest.mark.parametrize("what", ["unbalanced brackets", "quotes", "shifts", "output", "lone surrogates"])
def test_hostile_text_in_a_code_file_has_a_ladder(what: str, extension: str) -> None:
    """Parsers of every language give up on text that is no code."""
    numbered = "".join(f"{i:>6}→{HOSTILE[what][i * 100 : i * 100 + 100]}\n" for i in range(1, 500))
    assert_laws(PageType.EVIDENCE, numbered, f"Read /srv/a.{extension}", "lines4")


@pytest.mark.parametrize("page_type", PageType)
def test_small_texts_get_no_builder(page_type: PageType) -> None:
    """A text of a few words has full, and at most a pointer."""
    ladder = levels_of(page_type, "x " * (LEVEL_SMALL_CHARS // 2), "Bash: a", "o200k_base")
    assert {built.level for built in ladder} <= {Fidelity.FULL, Fidelity.POINTER}
    assert {built.builder for built in ladder} <= {"full/1", "small/1"}


@attrs.frozen
class Raises:
    """A builder that fails."""

    error: BaseException
    name: str = "raises/1"

    def build(self, text: str, source: str) -> Mapping[Fidelity, str]:
        """Never returns."""
        raise self.error


@pytest.mark.parametrize("error", [ValueError("x"), RecursionError(), UnicodeEncodeError("utf-8", "x", 0, 1, "no")])
def test_a_failing_builder_is_replaced(error: BaseException) -> None:
    """Known failures give head and tail, and the log says that the fallback made them."""
    text = "".join(f"line {i}\n" for i in range(1000))
    frame = Frame("p1", PageType.EVIDENCE, Author.TOOL)
    ladder = build_levels(PageType.EVIDENCE, text, frame, counter("lines4"), Raises(error))
    assert [built.level for built in ladder] == list(PAGE_TYPES[PageType.EVIDENCE].levels)
    assert {built.builder for built in ladder[1:]} == {"fallback/1"}
    assert ladder[1].text.startswith("line 0\n") and ladder[1].text.endswith("line 999\n")


def test_other_failures_are_not_hidden() -> None:
    """What is no known failure is a bug, and surfaces."""
    with pytest.raises(ZeroDivisionError):
        build_levels(
            PageType.EVIDENCE,
            "x" * 1000,
            Frame("p1", PageType.EVIDENCE, Author.TOOL),
            counter("lines4"),
            Raises(ZeroDivisionError()),
        )


def test_harness_reminders_stay_out_of_lower_levels() -> None:
    """What the harness appended to a result is part of full only."""
    text = (
        "".join(f"value {i} of a reading\n" for i in range(200))
        + "<system-reminder>\nbe careful\n</system-reminder>\n"
    )
    full, *lower = levels_of(PageType.EVIDENCE, text)
    assert "be careful" in full.text
    assert lower and not any("be careful" in built.text for built in lower)


def test_a_text_of_reminders_only_is_kept() -> None:
    """Where nothing else is left, the reminders are the text."""
    text = "<system-reminder>" + "be careful " * 100 + "</system-reminder>"
    assert "be careful" in levels_of(PageType.EVIDENCE, text)[1].text


SCRIPT = """
import json, sys
from clawvm_es.model.pages import Author, PageType
from clawvm_es.representations.counter import counter
from clawvm_es.representations.frame import Frame
from clawvm_es.representations.ladder import build_levels
texts = json.load(sys.stdin)
made = [build_levels(PageType(t), x, Frame("p1", PageType(t), Author.TOOL, s), counter()) for t, x, s in texts]
print(json.dumps([[[b.level, b.text, b.tokens, b.builder] for b in ladder] for ladder in made]))
"""


def test_two_processes_build_the_same() -> None:
    """LAW-LADDER-2: levels do not depend on the hash seed."""
    log = "".join(
        f"step {i % 9} took {i}ms\n" + ("FAILED test_x - Error\n" if i % 31 == 0 else "") for i in range(400)
    )
    code = "import os\n" + "".join(
        f"class C{i}:\n    def m{i}(self, a):\n        return a + {i}\n\n" for i in range(80)
    )
    places = "".join(f"src/m{i % 7}/f{i % 11}.py:{i}: x = {i}\n" for i in range(300))
    document = json.dumps([{f"key{j}": [i, j, {"a": "b" * 30}] for j in range(9)} for i in range(60)])
    texts = [
        ("evidence", log, "Bash: make"),
        ("evidence", code, "Read a.py"),
        ("evidence", places, "Grep x"),
        ("evidence", document, "api"),
        ("conversation", code + log, ""),
        ("plan", "# Goal\n" + "".join(f"- [{'x' if i < 20 else ' '}] step {i}\n" for i in range(60)), ""),
        ("bootstrap", "".join(f"- You must do {i}.\nSome words about it.\n" for i in range(60)), ""),
    ]
    outputs = [
        subprocess.run(
            [sys.executable, "-c", SCRIPT],
            input=json.dumps(texts),
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "4242")
    ]
    assert outputs[0] == outputs[1]
    builders = {row[-1][3] for row in json.loads(outputs[0])}
    assert builders == {"logs/1", "code/2", "listing/1", "json/2", "prose/1", "plan/1", "rules/1"}
