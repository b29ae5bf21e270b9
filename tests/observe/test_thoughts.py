"""Models whose provider drops what they thought once the user speaks again."""

import pytest

from clawvm_es.observe.thoughts import pass_away


@pytest.mark.parametrize(
    ("model", "drops"),
    [
        ("claude-opus-4-1-20250805", True),
        ("claude-opus-4-20250514", True),
        ("claude-opus-4-5-20251101", False),
        ("claude-opus-4-6", False),
        ("claude-sonnet-4-5-20250929", True),
        ("claude-sonnet-4-6", False),
        ("claude-haiku-4-5-20251001", True),
        ("claude-3-7-sonnet-20250219", True),
        ("claude-3-5-haiku-latest", True),
        ("claude-fable-5", False),
        ("us.anthropic.claude-sonnet-4-5-20250929-v1:0", True),
        ("anthropic/claude-sonnet-4.5", True),
        ("anthropic/claude-opus-4.5", False),
        ("claude-opus-4@20250514", True),
        ("gpt-4o", False),
        ("<synthetic>", False),
        ("", False),
    ],
)
def test_models_before_a_version_drop_their_thoughts(model, drops):
    """A date is no part of a version, other hosts name the same models, and models of others are not spoken of."""
    assert pass_away(model) is drops
