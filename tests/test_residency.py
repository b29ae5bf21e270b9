"""The tool that compares the recorded context with what providers counted."""

import json

import pytest

from tools import residency

COUNTED = ("claude_code", "codex", "gemini", "openhands", "pi")
"""Folders of the recorded sessions whose providers counted."""
SHORT = "openhands-9099ba42a14651b4-ponylang__ponyc-4593"


def rows(model, calls):
    """A session of Claude Code whose provider counts words of prompts alone."""
    held = 1000
    for number in range(calls):
        said, think = f"q{number} " + "word " * 40, "idea " * 400 * (number > 5)
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


@pytest.mark.parametrize(("model", "follows"), [("claude-sonnet-4-5-20250929", 1), ("claude-opus-4-5-20251101", 0)])
def test_thoughts_that_a_model_drops_are_in_no_later_prompt(tmp_path, capsys, model, follows):
    """A provider that does not count them is followed if the model drops them, and not if it keeps them."""
    (tmp_path / "s.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows(model, 12)))
    residency.main([str(tmp_path), "--json"])
    assert json.loads(capsys.readouterr().out)["follow"] == follows


def test_a_straight_line_is_found():
    """What the provider adds and how it counts are read off the calls."""
    fixed, scale = residency.fitted([(100, 1125), (200, 1250), (400, 1500)])
    assert (round(fixed), round(scale, 3)) == (1000, 1.25)
    assert residency.fitted([(5, 30), (5, 50)]) == (35.0, 1.0)


def test_a_session_whose_model_drops_thoughts_follows(traces, tmp_path, capsys):
    """A recording of many exchanges whose thoughts its provider dropped: with them, 58 % of the calls follow."""
    name = "08940314-9e93-46b1-a598-06bada65ed55.jsonl"
    (tmp_path / name).symlink_to(traces / "claude_code" / name)
    assert residency.main([str(tmp_path)]) == 0
    assert capsys.readouterr().out.startswith("  92 %")


@pytest.mark.sweep(sample=4)
@pytest.mark.parametrize("number", range(25))
def test_sessions_follow_what_their_provider_counted(traces, tmp_path, capsys, number):
    """Of every recorded session with counts but one, nine prompts of ten are predicted, and the tool says so by line.

    In the first third of that one each call is a short command: its line is that of our frames, which cost some 40
    tokens a call more than the provider's, so that it is too flat for the long files that are read later.
    """
    path = sorted(path for name in COUNTED for path in (traces / name).iterdir())[number]
    (tmp_path / path.name).symlink_to(path)
    residency.main([str(tmp_path)])
    *lines, last = capsys.readouterr().out.splitlines()
    shares = {line.split()[-1]: int(line.split("%")[0]) for line in lines}
    assert {name for name, share in shares.items() if share < 90} <= {SHORT}
    assert last.startswith(f"{len(lines) - (SHORT in shares)} of {len(lines)} sessions")
