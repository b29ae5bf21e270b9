"""Texts as they are compared: without ornaments, their JSON leaves, and what a call took or wrote."""

from __future__ import annotations

import pytest

from clawvm_es.limits import NEED_CHARS_MIN_LEAF
from clawvm_es.observe.observer import rules
from clawvm_es.observe.signatures import Lexeme
from clawvm_es.observe.texts import cleaned, has_digit, json_leaves, pieces, taken, written
from clawvm_es.observe.tools import Tool, roles


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("plain\n", "plain\n"),
        ("a<system-reminder>x</system-reminder>b<system-reminder>y</system-reminder>c", "abc"),
        ("a<system-reminder>x</system-reminder>b<system-reminder>open", "ab<system-reminder>open"),
        ("a</system-reminder>b<system-reminder>c", "a</system-reminder>b<system-reminder>c"),
        ("     1→one\n    12→two → three\nno gutter → here", "one\ntwo → three\nno gutter → here"),
        ("     9\tone\n    10\ttwo\n", "one\ntwo\n"),
        ("1\tone\n1\ttwo\n", "1\tone\n1\ttwo\n"),
        ("1\tone\n3\tthree\n", "1\tone\n3\tthree\n"),
        ("1\tonly one line\n", "1\tonly one line\n"),
        ("head\n1\tone\n2\ttwo\n", "head\n1\tone\n2\ttwo\n"),
        ("Here's the result of running `cat -n` on /a.py:\n     1\tone\n     2\ttwo\n", "one\ntwo\n"),
        (
            "The file /a has been edited. Here's the result of running `cat -n` on part of /a:\n 8\tx\n 9\ty\nEnd",
            "x\ny\nEnd",
        ),
        ("The file is 7 lines long", "The file is 7 lines long"),
        (
            "[File: /a.py (9 lines total)]\r\n(2 more lines above)\r\n3:one\r\n4:two\r\n(5 more lines below)\n"
            "(Open file: /a.py)\n(Current directory: /)\nbash-$",
            "one\ntwo",
        ),
        ("Replaced.\n[File: a (1 lines total)]\n1:one\n", "Replaced.\none\n"),
        ("Exit code: 0\nWall time: 0.1 seconds\nOutput:\none\n", "one\n"),
        ("Chunk ID: a1\nWall time: 0.1 seconds\nProcess exited with code 1\nOutput:\none", "one"),
        ("Exit code: 0\nno more", "Exit code: 0\nno more"),
    ],
)
def test_ornaments_of_the_harness_are_taken_off(text: str, clean: str) -> None:
    """Closed reminders, line numbers, and the heads of views, windows and outputs go; everything else stays."""
    assert cleaned(text) == clean


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("12:found\n13-beside\n", "found\nbeside\n"),
        ("src/a.py:12:found\nsrc/a.py-13-beside", "found\nbeside"),
        ("no number: here", "no number: here"),
    ],
)
def test_a_search_loses_its_gutter(text: str, clean: str) -> None:
    """A search's lines lose file and number, and only where the text is known to be of a search."""
    assert cleaned(text, search=True) == clean
    assert cleaned(text) == text


@pytest.mark.parametrize(
    ("text", "leaves"),
    [
        ('{"a": "x", "b": [1, {"c": "y"}], "d": [["z"]]}', {"x", "1", "y", "z"}),
        (' \n["x", true, null, 12]', {"x", "12"}),
        ('{"n": 1.50}', {"1.50"}),
        ('"x"', set()),
        ("12", set()),
        ("{broken", set()),
        ("", set()),
    ],
)
def test_leaves_of_json(text: str, leaves: set[str]) -> None:
    """Strings and numbers at any depth; none of keys, booleans, null, bare values and text that is no JSON."""
    assert json_leaves(text) == leaves


TOOL = Tool(
    "t", roles=roles(path="file", command="run", pattern="search", replaced="old", written="new", value="who")
)


@pytest.mark.parametrize(
    ("arguments", "found"),
    [
        ({"who": "x" * NEED_CHARS_MIN_LEAF}, [("x" * NEED_CHARS_MIN_LEAF, False)]),
        ({"who": "x" * (NEED_CHARS_MIN_LEAF - 1)}, []),
        ({"old": "x"}, [("x", True)]),
        ({"new": "long enough text", "file": "a/long/path.py"}, []),
        ({"run": "cat some/path needle-word; ls"}, [("needle-word", False)]),
        ({"search": "json.Unmarshal|func_name"}, [("func_name", False)]),
        ({"unnamed": "some value"}, [("some value", False)]),
        ({"who": Lexeme("12345678.5")}, []),
        ({"edits": [{"old": "one", "new": "1111111"}, {"old": "two"}]}, [("one", True), ("two", True)]),
        ({"old": {"other": "inherits the role"}}, [("inherits the role", True)]),
        ({"who": ["list item 1", ["list item 2"]]}, [("list item 1", False), ("list item 2", False)]),
        ({"who": 12345678, "old": None}, []),
    ],
)
def test_what_a_call_took_from_its_context(arguments: dict[str, object], found: list[tuple[str, bool]]) -> None:
    """Each role has its rule, inside objects and lists too; numbers, paths and written text are never taken."""
    assert list(taken(TOOL, arguments)) == found


def test_all_strings_of_a_call_are_written() -> None:
    """Strings at any depth and under any name; no numbers, not even those kept as text."""
    arguments = {"a": "one", "b": ["two", {"c": "three", "d": 4}], "e": Lexeme("5.0"), "f": None}
    assert sorted(written(arguments)) == ["one", "three", "two"]


def test_pieces_are_words_without_a_slash() -> None:
    """Words lose punctuation at their ends, need a length, and bodies of here-documents are left out."""
    assert list(pieces("run --name=value_one: 'quoted-two' a/b/c-long short tiny")) == [
        "value_one",
        "quoted-two",
        "short",
    ]
    assert list(pieces("cat <<EOF\ninner-word\nEOF\nouter-word")) == ["outer-word"]
    assert list(pieces("cat <<-'EOF' > x\n\tinner-word\n\tEOF\nouter-word")) == ["outer-word"]
    assert list(pieces("cat <<EOF\nnever-closed")) == []


def test_a_text_has_a_digit_or_not() -> None:
    """One digit anywhere is enough."""
    assert has_digit("abc1") and not has_digit("abc")


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("- you must a\n- you may b\n- Never c", ["you must a", "Never c"]),
        ("* only a\n+ should b\n• do  not c\n1. must d\n2) must e", ["only a", "should b", "do  not c", "must d",
          "must e"]),
        ("- must a\n  more of it\n    and more\n\n  no more", ["must a\nmore of it\nand more"]),
        ("- must a\nnot indented", ["must a"]),
        ("  - must a\n  as far in as the item\n   further", ["must a"]),
        ("\t- must a\n         nine blanks\n        eight", ["must a\nnine blanks"]),
        ("- a\n  must be in a later line", ["a\nmust be in a later line"]),
        ("- one\n  - must two\n    three", ["must two\nthree"]),
        ("must without an item", []),
        ("- mustard", []),
        ("-must", []),
    ],
)  # fmt: skip
def test_rules_are_the_items_of_a_list_that_command(text: str, found: list[str]) -> None:
    """A line belongs to the item above only while it is further in; blank lines and others end the item."""
    assert rules(text) == found
