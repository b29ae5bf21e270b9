"""P10: verbs on one session, with one session in the journal and with many; and what people ask of a long session."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path

from bench.report import Measure
from bench.sizes import Sizes
from bench.timing import cpu_seconds, interleaved, iteration_seconds
from clawvm_es import views
from clawvm_es.engine.journal import Journal
from clawvm_es.history.grep import words
from clawvm_es.journal.ports import EventLog
from clawvm_es.projections import index_texts

SESSION = "asked"
BESIDE_LIMIT = 1.15
FLAT_LIMIT = 1.5
LOOPS_LIMIT = 667_000
"""Loop iterations of 75 ns in 50 ms."""
HITS = 50
TURNS = 10
_Verbs = Mapping[str, Callable[[Path], object]]


def p10(folder: Path, sizes: Sizes) -> Iterator[Measure]:
    """Documents of one session as sessions beside it grow in number; documents of a session as it grows in turns."""
    yield from _beside_others(folder, sizes)
    yield from _in_a_long_session(folder, sizes)


def _beside_others(folder: Path, sizes: Sizes) -> Iterator[Measure]:
    alone, among = folder / "alone.db", folder / "among.db"
    build(alone, 1, TURNS)
    build(among, sizes.other_sessions, TURNS)
    for name, verb in SMALL.items():
        sides = {"alone": partial(_best, verb, alone, sizes.tries), "among": partial(_best, verb, among, sizes.tries)}
        took = {side: 1000 * min(values) for side, values in interleaved(sides, sizes.rounds).items()}
        peer = ("one session", took["alone"], took["among"] / took["alone"], BESIDE_LIMIT)
        yield Measure("P10", f"{name}, {sizes.other_sessions:,} sessions", took["among"], "ms", *peer)


def _in_a_long_session(folder: Path, sizes: Sizes) -> Iterator[Measure]:
    path, turns = folder / "long.db", sizes.long_turns
    build(path, 1, turns)
    with Journal.open(path, seed=7) as journal:
        index_texts(journal.log)
    loop = iteration_seconds()
    for name, verb in large(turns // 10, turns - turns // 20).items():
        sides = {when: partial(_best, one, path, sizes.tries) for when, one in verb.items()}
        took = {when: min(values) for when, values in interleaved(sides, sizes.rounds).items()}
        early, late = took["early"], took["late"]
        what = f"{name}, {turns:,} turns"
        yield Measure("P10", f"{what}, late", 1000 * late, "ms", "early", 1000 * early, late / early, FLAT_LIMIT)
        yield Measure("P10", what, max(took.values()) / loop, "loop iterations", limit=LOOPS_LIMIT)


def build(path: Path, sessions: int, turns: int) -> None:
    """So many sessions of so many turns: a message, a prompt, a call and its result; a boundary now and then."""
    with Journal.open(path, seed=7) as journal:
        for number in range(sessions):
            name = SESSION if number == sessions // 2 else f"other-{number}"
            with journal.session(name, budget_tokens=2_000, counter="lines4") as session:
                for turn in range(1, turns + 1):
                    session.user_says(f"message {turn} of {number}")
                    session.assemble()
                    (call,) = session.observe_model(f"answer {turn}", [("read", {"path": f"src/{turn % 97}.py"})])
                    session.observe_result(call, "\n".join(f"{turn} line {line}" for line in range(20)))
                    if turn % 100 == 0:
                        session.save()


def _best(verb: Callable[[Path], object], path: Path, tries: int) -> float:
    return min(cpu_seconds(partial(verb, path)) for _ in range(tries))


def _asked(ask: Callable[..., object]) -> Callable[[Path], object]:
    """Open the journal as a verb does, ask, close."""

    def verb(path: Path) -> object:
        with views.opened(str(path)) as log:
            return ask(log, views.chosen(log, SESSION))

    return verb


def _diff(log: EventLog, session_id: str, turn: int) -> object:
    first, last = (views.version_at(log, session_id, None, at) for at in (max(1, turn - 5), turn))
    return views.diff(log, (session_id, first), (session_id, last))


SMALL: _Verbs = {
    "why": _asked(lambda log, session_id: views.why(log, session_id, "p2")),
    "pages": _asked(views.pages),
    "prompt": _asked(views.prompt),
    "turns": _asked(views.turns),
    "store": _asked(views.store),
    "faults": _asked(views.faults),
    "diff": _asked(lambda log, session_id: _diff(log, session_id, 7)),
}
"""Verbs on one session; more sessions beside it should not show."""


def large(early: int, late: int) -> Mapping[str, _Verbs]:
    """What is asked of one turn of a long session: early in it, and late."""

    def both(ask: Callable[[EventLog, str, int], object]) -> _Verbs:
        return {
            "early": _asked(lambda log, session_id: ask(log, session_id, early)),
            "late": _asked(lambda log, session_id: ask(log, session_id, late)),
        }

    return {
        "turn view": both(_turn_view),
        "why": both(lambda log, session_id, turn: views.why(log, session_id, f"p{3 * turn - 8}", turn=turn)),
        "why of an old page": both(lambda log, session_id, turn: views.why(log, session_id, "p4", turn=turn)),
        "diff of two turns": both(_diff),
        "blame of a page": both(lambda log, session_id, turn: views.blame(log, session_id, f"p{3 * turn - 8}")),
        "life of a page": both(
            lambda log, session_id, turn: views.life(log, session_id, f"p{3 * turn - 8}", journal="j")
        ),
        "store of a turn": both(_store),
        "losses": both(lambda log, session_id, turn: views.lost(log, session_id)),
        f"grep, {HITS} hits": both(lambda log, session_id, turn: _grep(log, session_id, "answer")),
    }


def _turn_view(log: EventLog, session_id: str, turn: int) -> object:
    """The turn as the browser shows it: its prompt in spans, what its assembly changed, its events."""
    return views.turn(log, session_id, turn)


def _store(log: EventLog, session_id: str, turn: int) -> object:
    """The durable store and the updates as the browser shows them."""
    return views.store(log, session_id, turn=turn), views.store(log, session_id, turn=turn, updates=True)


def _grep(log: EventLog, session_id: str, text: str) -> object:
    found = views.grep(log, words(text), session_id, limit=HITS)
    if len(found["hits"]) < min(HITS, 2):
        raise RuntimeError(f"{len(found['hits'])} hits for {text!r}")
    return found
