"""Steps: what one does not say is empty, so that a source that knows less gives the same as one that says nothing."""

from __future__ import annotations

from typing import get_args

import attrs
import pytest

from clawvm_es.model.facts import ReturnStatus
from clawvm_es.observe.steps import NOWHERE, Image, Lines, Step, ToolUse, Usage

KINDS = (*get_args(Step), ToolUse, Usage, Lines, Image)
EMPTY = (0, "", (), None, False, frozenset(), NOWHERE, Usage(), ReturnStatus.OK)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_what_a_step_does_not_say_is_empty(kind) -> None:
    """No time (so a live session takes its clock's), no place, no tokens, no text, no images; a result was good."""
    optional = [field for field in attrs.fields(kind) if field.default is not attrs.NOTHING]
    assert optional
    for field in optional:
        assert any(field.default == empty and type(field.default) is type(empty) for empty in EMPTY), field.name
    if kind in get_args(Step):
        assert {field.name: field.default for field in optional}.items() >= {"at_us": 0, "lines": NOWHERE}.items()


def test_a_step_of_no_file_stands_nowhere() -> None:
    """Lines count from 1, so that a place of zeros is none."""
    assert Lines(0, 0) == NOWHERE and attrs.astuple(Usage()) == (0,) * len(attrs.fields(Usage))


@pytest.mark.parametrize(
    ("image", "text"),
    [
        (Image(), "[image]"),
        (Image("image/png"), "[image/png]"),
        (Image("image/png", 3, "ab12"), "[image/png, 3 bytes, sha256 ab12]"),
        (Image("", 3, "ab12"), "[image, 3 bytes, sha256 ab12]"),
        (Image("image/png", url="https://x/y"), "[image/png at https://x/y]"),
        (Image("image/png", 3, "ab12", "https://x/y"), "[image/png, 3 bytes, sha256 ab12]"),
    ],
)
def test_a_line_stands_for_an_image(image, text) -> None:
    """It names the type, and the content where it is known, else its place."""
    assert image.text == text
