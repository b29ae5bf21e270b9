"""Attachments of Claude Code: the file that one shows, and the texts in one of any shape."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import product
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clawvm_es.importers import claude_attachments as attachments
from clawvm_es.observe.fields import Fields, parse_json
from clawvm_es.observe.steps import FileShown, Lines, RulesLoaded, SkillLoaded, Step, UserMessage


def steps(attachment: dict[str, Any]) -> list[Step]:
    """The steps of an attachment, read from JSON."""
    return attachments.steps(Fields.of(parse_json(json.dumps({"attachment": attachment}))), Lines(3, 3), 7)


def without_none(**fields: Any) -> dict[str, Any]:
    """The fields that are told."""
    return {name: value for name, value in fields.items() if value is not None}


SKILLS = list(product(("do", " ", None), (None, "/skill"), (None, "skill")))


@pytest.mark.parametrize("kind", sorted(attachments._FILES))
def test_a_file_is_shown_under_the_path_and_with_the_text_that_stand_nearest_to_it(kind: str) -> None:
    """Its own path goes before the row's name of it, and the content before a piece, wherever each of them stands."""
    for own, name, path, piece in product((None, "/own"), (None, "/name"), (None, "/path"), (None, "piece")):
        around = without_none(type=kind, filename=name, path=path, snippet=piece)
        expected = own or name or path or ""
        in_file = {"type": "text", "file": without_none(filePath=own, content="inside")}
        assert steps({**around, "content": in_file}) == [FileShown("inside", expected, Lines(3, 3), 7)]
        image = {"type": "image", "file": without_none(filePath=own, base64="aGk=", type="image/png")}
        (shown,) = steps({**around, "content": image})
        assert isinstance(shown, FileShown) and (shown.text, shown.path) == (piece or "", expected)
        assert [each.media_type for each in shown.images] == ["image/png"]
        expected = name or path or ""
        assert steps({**around, "content": "plain"}) == [FileShown("plain", expected, Lines(3, 3), 7)]
        if piece is not None:
            assert steps({**around, "content": {"type": "pdf"}}) == [FileShown(piece, expected, Lines(3, 3), 7)]
            assert steps(around) == [FileShown(piece, expected, Lines(3, 3), 7)]


def test_rules_are_loaded_from_where_their_path_and_text_stand() -> None:
    """Nested memory, the files of instructions: the row's path goes before its content's, whose text goes first."""
    for outer, inner, content in product((None, "/outer"), (None, "/inner"), ("in a field", "in an object")):
        rules = without_none(path=outer, content=content)
        if content == "in an object":
            rules["content"] = without_none(path=inner, content=content)
        path = outer or (inner if content == "in an object" else None) or ""
        loaded = RulesLoaded(content, path, Lines(3, 3), 7)
        assert steps({"type": "nested_memory", **rules}) == [loaded]
        if content == "in a field":
            blank = {"path": "/blank", "content": " "}
            assert steps({"type": "instructions", "files": [blank, rules, rules]}) == [loaded, loaded]
    assert steps({"type": "nested_memory", "path": "/a", "content": " "}) == []
    assert steps({"type": "instructions", "files": [{"path": "/a", "content": " "}], "note": "n"}) == [
        UserMessage("/a\nn", Lines(3, 3), 7, harness=True, source="instructions")
    ]


def test_skills_and_plans_are_loaded_under_their_path_or_else_their_name() -> None:
    """A skill without a text is none, and a plan without one is what any other row is."""
    skills = [without_none(content=text, path=path, name=name) for text, path, name in SKILLS]
    expected = [SkillLoaded("do", path or name or "", Lines(3, 3), 7) for text, path, name in SKILLS if text == "do"]
    assert steps({"type": "invoked_skills", "skills": skills}) == expected and len(expected) == 4
    plan = {"type": "plan_file_reference", "planFilePath": "/p.md"}
    assert steps({**plan, "planContent": "1. look"}) == [FileShown("1. look", "/p.md", Lines(3, 3), 7)]
    assert steps({**plan, "planContent": " "}) == [
        UserMessage("/p.md", Lines(3, 3), 7, harness=True, source="plan_file_reference")
    ]


@pytest.mark.parametrize(
    "more",
    [
        {"planContent": "said"},
        {"files": [{"content": "said"}]},
        {"skills": [{"content": "said"}]},
        {"snippet": "said"},
        {"content": "said"},
    ],
    ids=str,
)
def test_a_row_of_another_kind_is_a_text_of_the_harness(more: dict[str, Any]) -> None:
    """The fields of a plan, of rules, of skills or of a file mean none of these in a row of an unknown kind."""
    assert steps({"type": "novelty", **more}) == [UserMessage("said", Lines(3, 3), 7, harness=True, source="novelty")]


def test_a_row_that_tells_what_was_rendered_says_that_alone() -> None:
    """Its texts, without the blank ones, stand for all fields of the attachment."""
    rendered = [{"content": text} for text in ("first", " ", "second")] + [{}]
    row = {"attachment": {"type": "novelty", "content": "said"}, "rendered": rendered}
    expected = UserMessage("first\nsecond", Lines(3, 3), 7, harness=True, source="novelty")
    assert attachments.steps(Fields.of(row), Lines(3, 3), 7) == [expected]


def test_a_file_without_a_text_of_its_own_shows_the_texts_in_it() -> None:
    """Those of its content, or else of the whole row; a file that holds no text is none."""
    row = {"type": "pdf_reference", "filename": "/a.pdf", "pages": 3, "title": "On pages"}
    assert steps({**row, "content": {"type": "pdf", "said": ["one", 2.5, {"deep": "two"}]}}) == [
        FileShown("one\ntwo", "/a.pdf", Lines(3, 3), 7)
    ]
    assert steps(row) == [FileShown("/a.pdf\nOn pages", "/a.pdf", Lines(3, 3), 7)]
    assert steps({"type": "pdf_reference", "pages": 3, "title": " "}) == []


SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
TEXTS = st.sampled_from(["", " ", "\n", "7", "1.50", "said", "more words", "true"])
KEYS = st.sampled_from(["text", "content", "n", *sorted(attachments._NAMES)])
VALUES = st.recursive(
    SCALARS | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=20,
)


def plain_texts(value: Any, name: str = "") -> Iterator[str]:
    """The strings of a JSON value in order: no blank one, no number, and none under a name that tells a kind."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield from plain_texts(item, key)
    elif isinstance(value, list):
        for item in value:
            yield from plain_texts(item, name)
    elif isinstance(value, str) and value.strip() and name not in attachments._NAMES:
        yield value


@given(VALUES)
def test_the_texts_of_any_value_are_its_strings_in_order(value: Any) -> None:
    """Numbers that keep their digits while they are read are none of them."""
    assert list(attachments.said(parse_json(json.dumps(value)))) == list(plain_texts(value))


EVENTS = ("SessionStart", "UserPromptSubmit", "", "PreToolUse", "PostToolUse", "Stop", "SubagentStop", "SessionEnd")


@pytest.mark.parametrize("event", EVENTS)
def test_the_event_of_a_hook_decides_only_where_the_hook_ran_well(event: str) -> None:
    """Its output is shown to the model after two events; a block or more context after any, and others never."""
    for kind in ("hook_success", "async_hook_response"):
        row = Fields({"type": kind, "hookEvent": event})
        assert attachments.unseen(row) is (event not in ("SessionStart", "UserPromptSubmit", ""))
    for kind in (
        "hook_blocking_error",
        "hook_additional_context",
        "hook_stopped_continuation",
        "file",
        "novelty",
        "",
    ):
        assert not attachments.unseen(Fields({"type": kind, "hookEvent": event}))
    for kind in (
        "hook_cancelled",
        "hook_non_blocking_error",
        "hook_system_message",
        "prompt_snapshot",
        "task_progress",
    ):
        assert attachments.unseen(Fields({"type": kind, "hookEvent": event}))
