"""The tool that compares the recorded context with what providers counted."""

from tools import residency


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
