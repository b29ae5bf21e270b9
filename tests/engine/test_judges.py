"""Judges of updates: what they are asked, and what is recorded of their answers."""

from __future__ import annotations

import attrs
import pytest

from clawvm_es.engine.hooks import Settings
from clawvm_es.engine.journal import Journal
from clawvm_es.engine.store import Asked, FieldSchema, Judged
from clawvm_es.model import events as e

SECOND = 1_000_000


@attrs.define
class Judge:
    """Answers the same to all, and keeps what it was asked."""

    answer: Judged
    asked: list[Asked] = attrs.field(factory=list)

    def judge(self, asked: Asked) -> Judged:
        """The answer."""
        self.asked.append(asked)
        return self.answer


@attrs.define
class Clock:
    """A clock that stands until it is moved."""

    now: int = 100 * SECOND

    def __call__(self) -> int:
        """The time, in microseconds."""
        return self.now


def judged(judge: Judge, clock: Clock):
    """A session whose updates a judge is asked about."""
    settings = Settings(
        fields={"drink": FieldSchema("string"), "likes": FieldSchema("string")}, validators={"taste": judge}
    )
    return Journal.open(":memory:", clock=clock).session("s", counter="lines4", settings=settings)


def verdicts(session) -> list[tuple[str, bool, str | None]]:
    """What is recorded of the answers to the newest update: name, whether it agreed, and what was said."""
    rows = [row.data for row in session._shell.log.read("s") if isinstance(row.data, e.UpdateStaged)]
    opened = session._shell.edge.open
    return [(each.validator, each.agrees, each.error and opened(each.error)) for each in rows[-1].facts.validators]


def test_a_judge_is_asked_with_the_evidence_its_age_and_what_is_committed() -> None:
    """The text of a page or of what a memory answered, whole seconds since it was recorded, the store's values."""
    clock, judge = Clock(), Judge(Judged(True))
    with judged(judge, clock) as session:
        page = session.user_says("Tea, please.")
        clock.now += 61 * SECOND + 999_999
        session.stage("drink", "set_with_version", "tea", evidence=page, base_version=0)
        session.compact()
        session.recall("what do they like?", ["green tea"])
        recalled = next(row.version for row in session._shell.log.read("s") if isinstance(row.data, e.RecallAnswered))
        session.stage("likes", "append", "green tea", evidence=recalled)
        clock.now = 0  # the clock was set back
        session.stage("likes", "append", "tea", evidence=page)
    assert judge.asked == [
        Asked("drink", "tea", "Tea, please.", 61, {}),
        Asked("likes", "green tea", "what do they like?", 0, {"drink": "tea"}),
        Asked("likes", "tea", "Tea, please.", 0, {"drink": "tea"}),
    ]


@pytest.mark.parametrize(
    ("answer", "recorded"),
    [
        (Judged(True), [("taste", True, None)]),
        (Judged(True, {}, "fine"), [("taste", True, None)]),
        (Judged(False, {}, "too vague"), [("taste", False, "too vague")]),
        (Judged(False), [("taste", False, None)]),
        (
            Judged(False, {"weight": 7, "age": -1}, "old"),
            [("taste", False, "old"), ("taste.weight=7", True, None), ("taste.age=-1", True, None)],
        ),
    ],
)
def test_what_is_recorded_of_an_answer(answer: Judged, recorded: list[tuple[str, bool, str | None]]) -> None:
    """The verdict, with what was said of a refusal only, then each factor that was weighed."""
    with judged(Judge(answer), Clock()) as session:
        session.stage("drink", "append", "tea", evidence=session.user_says("Tea, please."))
        assert verdicts(session) == recorded
