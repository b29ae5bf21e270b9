"""The tool that compares the recorded context with what providers counted."""

import json

import pytest

from tools import residency


@pytest.mark.parametrize(
    ("model", "drops"),
    [
        ("claude-opus-4-1-20250805", True),
        ("claude-opus-4-20250514", True),
        ("claude-opus-4-5-20251101", False),
        ("claude-sonnet-4-5-20250929", True),
        ("claude-sonnet-4-6", False),
        ("claude-haiku-4-5-20251001", True),
        ("claude-3-7-sonnet-20250219", True),
        ("claude-fable-5", False),
        ("gpt-4o", False),
        ("", False),
    ],
)
def test_models_before_a_version_drop_their_thoughts(model, drops):
    """A date is no part of a version, and models of others are not spoken of."""
    assert residency.drops(model) is drops


def rows(model, calls):
    """A session of Claude Code whose provider counts words of prompts alone."""
    held = 1000
    for number in range(calls):
        said, think = f"q{number} " + "word " * 40, "idea " * 400
        held += 43
        usage = {"input_tokens": held, "output_tokens": 1}
        blocks = [{"type": "thinking", "thinking": think, "signature": "s"}, {"type": "text", "text": "yes"}]
        for kind, content, more in (
            ("user", said, {}),
            ("assistant", blocks, {"id": f"a{number}", "model": model, "usage": usage}),
        ):
            message = {"role": kind, "content": content, **more}
            at = f"2026-01-01T00:{number:02}:{10 * (kind != 'user'):02}.000Z"
            parent = f"user{number}" if kind != "user" else f"assistant{number - 1}" if number else None
            ids = {"uuid": f"{kind}{number}", "parentUuid": parent, "sessionId": "s", "timestamp": at}
            yield {"type": kind, **ids, "message": message}


def test_thoughts_that_a_model_drops_are_told_apart(tmp_path, capsys):
    """Their share is printed a second time, as if they left at each prompt; of a model that keeps them it is not."""
    for model, told in (("claude-sonnet-4-5-20250929", True), ("claude-opus-4-5-20251101", False)):
        (tmp_path / "s.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows(model, 12)))
        residency.main([str(tmp_path), "--json"])
        (fit,) = json.loads(capsys.readouterr().out)["sessions"]
        assert fit["dropped_percent"] == (100 if told else None)
        residency.main([str(tmp_path)])
        assert ("100 % without thoughts of closed exchanges" in capsys.readouterr().out) is told


def test_a_straight_line_is_found():
    """What the provider adds and how it counts are read off the calls."""
    fixed, scale = residency.fitted([(100, 1125), (200, 1250), (400, 1500)])
    assert (round(fixed), round(scale, 3)) == (1000, 1.25)
    assert residency.fitted([(5, 30), (5, 50)]) == (35.0, 1.0)


def test_sessions_follow_what_their_provider_counted(traces, capsys):
    """Of a short recorded session nearly every prompt is predicted, and the tool says so line by line."""
    assert residency.main([str(traces / "openhands")]) == 0
    out = capsys.readouterr().out.splitlines()
    assert out[-1].startswith(f"{len(out) - 1} of {len(out) - 1} sessions")
    assert all(int(line.split("%")[0]) >= 90 for line in out[:-1])
