"""The fixture `clawvm_check`: claims about sessions, in tests of somebody else."""

from __future__ import annotations

TESTS = """
import pytest

def test_of_a_journal(clawvm_check):
    clawvm_check({journal!r}, "resident(p1) at turn 1", "misses < 100", session="run-1")

def test_that_fails(clawvm_check):
    clawvm_check({journal!r}, "never resident(bootstrap)", "turn > 100", session="run-1")

def test_about_nothing(clawvm_check):
    clawvm_check("run-1.clawvm.jsonl", "resident(p99) at turn 1")

def test_of_a_recording(clawvm_check):
    clawvm_check("run-1.clawvm.jsonl", "always resident(bootstrap)", policy="lru", budget=900)

@pytest.mark.clawvm("run-1.clawvm.jsonl")
def test_of_a_session(clawvm_check, clawvm_session):
    clawvm_check(clawvm_session, "turn == 6")
"""


def test_claims_hold_or_fail_in_one_line_each(project):
    """Of a journal, a recording and a session that was brought; what does not hold is told with turn and pages."""
    project.recording()
    project.pytester.makepyfile(TESTS.format(journal=str(project.journal)))
    result = project.run("test_claims_hold_or_fail_in_one_line_each.py")
    result.assert_outcomes(passed=3, failed=2)
    result.stdout.fnmatch_lines(
        [
            "does not hold: never resident(bootstrap) (turn 1, version *: p1)",
            "does not hold: turn > 100 (turn 6, version *)",
            "claim 'resident(p99) at turn 1': there is no page p99*",
        ]
    )
    assert "Traceback" not in result.stdout.str()
