"""What-if: decide the inputs of a session under other settings, in memory; nothing is written.

Open loop: the agent's calls and needs are the recorded ones. A what-if tells how often a page that this agent used
would have been out of the prompt, never whether its task would have succeeded.

LAW-WHATIF-1: under its recorded settings a session has the recorded figures, and no prompt differs. (An input whose
decisions were cut off by a fork is decided in full.)
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from functools import partial
from itertools import product
from typing import Literal

import attrs

from clawvm_es.core.budget import RECORDED_BUDGET
from clawvm_es.core.decide import check_budget, decide
from clawvm_es.core.evolve import apply, override
from clawvm_es.core.layout import levels_of_prompt
from clawvm_es.core.profiles import without
from clawvm_es.core.state import State
from clawvm_es.engine.idle import Idle
from clawvm_es.engine.retriever import Retrieval
from clawvm_es.errors import UsageError
from clawvm_es.history.figures import Figures, Parting, assemblies, parting
from clawvm_es.history.harness import harness_figures
from clawvm_es.history.levels import Collector, Levels
from clawvm_es.history.refeed import Refeed
from clawvm_es.journal.lineage import SessionRows
from clawvm_es.journal.ports import EventLog, Recorded
from clawvm_es.model import events as e
from clawvm_es.model.commands import Command
from clawvm_es.model.events import INPUTS
from clawvm_es.model.profile import RULES, Capability, Profile, Weights
from clawvm_es.observe.edge import decode

Progress = Callable[[int, int], None]
"""(inputs decided, inputs in all)."""
REPORT_EVERY = 512
OPEN_LOOP = (
    "open loop: calls and needs are the recorded ones; misses are counted, the agent's success is not predicted"
)


@attrs.frozen
class Setting:
    """A policy and a budget in tokens; None means as recorded."""

    profile: Profile | None = None
    budget_tokens: int | None = None


@attrs.frozen
class Run:
    """One run: its setting, its figures, and its first difference from the recorded run (None: there is none).

    `levels` are the levels of its pages, if asked for; their versions are those of the recorded inputs.
    """

    profile: Profile
    budget_tokens: int
    figures: Figures
    parted: Parting | None = None
    levels: Levels | None = None


@attrs.frozen
class WhatIf:
    """The recorded run of a session's events after `after`, and runs of the same inputs under other settings.

    `harness` holds the figures of the recorded harness, counting only the pages in its prompts, since the prompts of
    the runs hold neither arguments nor thoughts. It is None unless the session was recorded under `recorded`, and
    None if `after` is given.
    """

    session_id: str
    after: int
    recorded: Run
    runs: tuple[Run, ...]
    harness: Figures | None = None


def settings(
    base: Profile,
    *,
    budgets: Sequence[int] = (),
    policies: Sequence[Profile] = (),
    weights: Sequence[Mapping[str, int]] = (),
    missing: Sequence[Sequence[Capability]] = (),
) -> tuple[Setting, ...]:
    """Every combination of the given values; an empty axis takes that of `base`, or the recorded budget.

    Raises `UsageError` for a budget below 1 and an unknown weight.
    """
    combinations = product(policies or (base,), weights or ({},), missing or ((),), budgets or (None,))
    return tuple(
        Setting(without(_weighed(profile, changed), *broken), _budget(budget))
        for profile, changed, broken, budget in combinations
    )


def _budget(tokens: int | None) -> int | None:
    if tokens is not None:
        check_budget(tokens)
    return tokens


def _weighed(profile: Profile, changed: Mapping[str, int]) -> Profile:
    """A profile with some weights changed; its name lists them."""
    known = [field.name for field in attrs.fields(Weights)]
    for name in changed:
        if name not in known:
            raise UsageError(f"there is no weight {name!r}", hint=f"one of {', '.join(known)}")
    if not changed:
        return profile
    name = ",".join([profile.name, *(f"{name}={value}" for name, value in changed.items())])
    return attrs.evolve(profile, name=name, weights=attrs.evolve(profile.weights, **changed))


def recorded_setting(recorded: Iterable[Recorded]) -> Setting:
    """The policy and budget of a session: as opened, as its forks overrode them, and as it adopted them."""
    found = Setting()
    for row in recorded:
        found = _set_by(row.data, found)
    return found


def _set_by(data: e.Event, before: Setting) -> Setting:
    """The policy and budget after an event."""
    if isinstance(data, e.SessionOpened):
        return Setting(data.profile, data.budget_tokens)
    if isinstance(data, e.SessionForked | e.SettingsAdopted):
        return Setting(data.profile or before.profile, data.budget_tokens or before.budget_tokens)
    return before


def whatif(
    log: EventLog,
    session_id: str,
    others: Sequence[Setting],
    *,
    after: int = 0,
    keep: Literal["levels"] | None = None,
    progress: Progress | None = None,
) -> WhatIf:
    """Decide the inputs of a session after event `after` under each of `others`.

    Earlier events stand as recorded; figures count only later ones. With `keep` each run also returns the pages in
    its prompts. Raises `UsageError` for an unknown session or version, and if a retrieval policy needs an erased
    text.
    """
    rows = SessionRows.of(log, session_id)
    if rows is None or not isinstance(next(iter(rows)).data, e.SessionOpened):
        raise UsageError(f"there is no session {session_id}")
    if after > rows.last:
        raise UsageError(f"session {session_id} has no version {after}", hint=f"its last is {rows.last}")
    looked = _looked_at(rows, after)
    base = looked.setting
    assert base.profile is not None and base.budget_tokens is not None
    as_recorded = RULES[base.profile.rule].recorded
    if as_recorded:
        others = [_with_budget(each, looked.fixed_tokens) for each in others]
    texts = _Texts(rows, lambda name: log.vault(session_id).open(name))
    report = _reporter(progress, len(others) * looked.inputs)
    recorded = Run(base.profile, base.budget_tokens, looked.figures)
    runs = []
    for setting in others:
        figures, parted, found = _run(rows, after, setting, texts, report, keep is not None)
        profile, budget = setting.profile or base.profile, setting.budget_tokens or base.budget_tokens
        runs.append(Run(profile, budget, figures, parted, found))
    harness = None
    if as_recorded and not after:
        harness = harness_figures(row.data for row in rows if isinstance(row.data, INPUTS))
    return WhatIf(session_id, after, recorded, tuple(runs), harness)


@attrs.frozen
class _Looked:
    """Facts from one walk over a session: its setting, largest fixed region, and inputs and figures after a place."""

    setting: Setting
    fixed_tokens: int
    inputs: int
    figures: Figures


def _looked_at(rows: Iterable[Recorded], after: int) -> _Looked:
    setting, fixed_tokens, inputs, figures = Setting(), 0, 0, Figures()
    for row in rows:
        setting = _set_by(row.data, setting)
        if isinstance(row.data, e.TurnBegan):
            fixed_tokens = max(fixed_tokens, row.data.fixed_tokens)
        if row.version > after:
            inputs += row.kind == "input"
            figures.count(row.data)
    return _Looked(setting, fixed_tokens, inputs, figures)


def _with_budget(setting: Setting, fixed_tokens: int) -> Setting:
    """A setting for a session recorded without a budget: by default 128,000 tokens plus the fixed region."""
    if setting.budget_tokens is not None or setting.profile is None or RULES[setting.profile.rule].recorded:
        return setting
    return attrs.evolve(setting, budget_tokens=RECORDED_BUDGET + fixed_tokens)


def _run(
    rows: SessionRows, after: int, setting: Setting, texts: _Texts, report: Callable[[], None], keep: bool
) -> tuple[Figures, Parting | None, Levels | None]:
    """One run: its figures, its first difference from the recorded run, and its levels, if asked for."""
    figures, parted = Figures(), None
    recorded = assemblies(rows, after)
    was = next(recorded, None)
    state, feed = State(), Refeed(setting.profile, setting.budget_tokens)
    idle = Idle(0, 0)
    for row in rows.between(0, after):
        apply(state, row.data)
        idle.saw(row.data, row.at_us)
    if after:
        override(state, setting.profile, setting.budget_tokens)
    collector = Collector(state) if keep else None
    for version, given, events in _decided(rows.between(after), state, feed, texts, idle, report):
        for event in events:
            figures.count(event)
            if collector is not None:
                collector.note(event, version)
        if was is not None and isinstance(given, e.TurnBegan) and was.turn == state.turn:
            parted = parting(was, levels_of_prompt(state))
            was = next(recorded, None) if parted is None else None
            if was is None:
                recorded.close()  # the recorded state is looked at no more
    return figures, parted, None if collector is None else collector.end()


def _decided(
    rows: Iterable[Recorded], state: State, feed: Refeed, texts: _Texts, idle: Idle, report: Callable[[], None]
) -> Iterator[tuple[int, e.Input, tuple[e.Event, ...]]]:
    """Each input as fed to a run, with its recorded version and its events, which `state` has folded."""
    for row in rows:
        if not isinstance(row.data, INPUTS):
            continue
        report()
        given = idle.timed(feed.given(state, row.data, partial(texts.retrieved, row)))
        idle.saw(row.data, row.at_us)
        if given is None:
            continue
        due = feed.due(state, given) if isinstance(given, e.TurnBegan) else None
        for data in (given,) if due is None else (due, given):
            events = decide(state, Command(data, row.at_us))
            for event in events:
                apply(state, event)
            yield row.version, data, events


def events_under(
    rows: Iterable[Recorded], setting: Setting, open_: Callable[[str], bytes | None]
) -> Iterator[e.Event]:
    """The events of a session's inputs, decided from the beginning under another setting; `open_` gives texts.

    `rows` are iterated more than once if a retriever is used.
    """
    texts = _Texts(rows, open_)
    feed, idle = Refeed(setting.profile, setting.budget_tokens), Idle(0, 0)
    for _, _, events in _decided(rows, State(), feed, texts, idle, lambda: None):
        yield from events


class _Texts:
    """A retriever's findings for each recorded turn, computed once: they depend on texts alone."""

    def __init__(self, rows: Iterable[Recorded], open_: Callable[[str], bytes | None]) -> None:
        self._rows = rows
        self._open = open_
        self._found: dict[int, dict[int, tuple[str, ...]]] = {}  # top_k → version of the turn → pages

    def retrieved(self, row: Recorded, top_k: int) -> tuple[str, ...]:
        """The `top_k` best pages for a recorded `turn_began`, best first."""
        found = self._found.get(top_k)
        if found is None:
            with closing(Retrieval()) as retrieval:
                found = self._found[top_k] = dict(self._turns(retrieval, top_k))
        return found[row.version]

    def _turns(self, retrieval: Retrieval, top_k: int) -> Iterator[tuple[int, tuple[str, ...]]]:
        """Each turn with its retrieved pages: the recorded ones if there are any, else from the texts."""
        told = self._told(top_k)
        numbers: dict[str, int] = {}
        for row in self._rows:
            if isinstance(row.data, e.TurnBegan):
                yield row.version, row.data.retrieved if told else retrieval.best(top_k)
            elif isinstance(row.data, e.PageWritten) and not told:
                number = numbers.setdefault(row.data.page_id, len(numbers) + 1)
                retrieval.put(number, self._text(row, row.data), row.data.page_type, row.data.author)

    def _told(self, top_k: int) -> bool:
        """Tell whether the log holds the findings of every turn."""
        datas = [
            row.data
            for row in self._rows
            if isinstance(row.data, e.SessionOpened | e.SessionForked | e.SettingsAdopted)
        ]
        profiles = [data.profile for data in datas if data.profile is not None]
        return all(profile.retrieves and profile.top_k == top_k for profile in profiles)

    def _text(self, row: Recorded, written: e.PageWritten) -> str:
        body = self._open(written.levels[0].body)
        if body is None:
            raise UsageError(
                f"session {row.session_id} version {row.version}: the text of page {written.page_id} was erased, "
                "and a retrieval policy searches it",
                hint="leave the retrieval policy out",
            )
        return decode(body)


def _reporter(progress: Progress | None, total: int) -> Callable[[], None]:
    """Count inputs and report progress now and then."""
    done = 0

    def report() -> None:
        nonlocal done
        done += 1
        if progress is not None and (done % REPORT_EVERY == 0 or done == total):
            progress(done, total)

    return report
