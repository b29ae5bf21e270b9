"""A session as the evaluation runs it: its inputs, their needs, and a retriever's findings.

It is independent of policies: the same workload is decided under every policy and budget. Its tokens are counted for
one renderer, which makes the prompts of every arm, including the recorded harness.

LAW-WORKLOAD-1: a recorded session has the same needs, with the same holders, under every renderer.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from types import MappingProxyType
from typing import Final

import attrs
from msgspec.structs import replace

from clawvm_es.core.groups import PREFIX
from clawvm_es.engine.idle import Idle
from clawvm_es.engine.retriever import Retrieval
from clawvm_es.importers import Recording, commands
from clawvm_es.importers.replay import opening
from clawvm_es.model import events as e
from clawvm_es.model.commands import Command
from clawvm_es.model.facts import Need
from clawvm_es.model.pages import RANK, Author, PageType
from clawvm_es.observe.edge import Edge
from clawvm_es.representations.counter import TokenCounter
from clawvm_es.storage import open_log

RETRIEVED_MAX: Final = 8
"""Pages that a retriever finds for a turn, at most."""
SEED: Final = 1
"""Salts follow from it, so that a workload is the same on every machine."""
FRAMES: Final = "frames"
MESSAGES: Final = "messages"
RENDERERS: Final[Mapping[str, str]] = MappingProxyType({MESSAGES: "messages/1:anthropic", FRAMES: ""})
"""Renderers by the name that the evaluation gives them: of messages, whose prompts hold arguments too, one shape."""


@attrs.frozen
class Option:
    """One way to meet a need: a page that holds its text, at its cheapest sufficient level."""

    page_id: str
    rank: int
    tokens: int


@attrs.frozen
class NeedAt:
    """A need where it occurs: its turn, its options, and the turns since its text was last used.

    `distance` counts turns since a holder was written or last needed; at 1 or less its text was in the prompt anyway.
    """

    turn: int
    options: tuple[Option, ...]
    distance: int

    @property
    def tokens(self) -> int:
        """The fewest tokens that meet it."""
        return min(option.tokens for option in self.options)


@attrs.frozen
class Workload:
    """The inputs of one session after its opening.

    `needs` has one entry per input: its needs that the turn had not counted before. `retrieved` has one entry per
    turn: the pages retrieved for it, best first.
    """

    name: str
    family: str
    opened: e.SessionOpened
    inputs: tuple[e.Input, ...]
    needs: tuple[tuple[NeedAt, ...], ...]
    retrieved: tuple[tuple[str, ...], ...]
    skipped: Mapping[str, int] = attrs.field(factory=dict)

    @property
    def turns(self) -> int:
        """Model calls."""
        return len(self.retrieved)

    @property
    def renderer(self) -> str:
        """One of `RENDERERS`."""
        return MESSAGES if self.opened.renderer.startswith(PREFIX) else FRAMES

    def all_needs(self) -> Iterator[NeedAt]:
        """Every need, in the order in which they occur."""
        for found in self.needs:
            yield from found

    @property
    def page_tokens(self) -> int:
        """Tokens of all pages in full, each with its last content; only budgets below this matter."""
        sizes = {data.page_id: data.levels[0].tokens for data in self.inputs if isinstance(data, e.PageWritten)}
        return sum(sizes.values())


def from_recording(
    recording: Recording,
    counter: TokenCounter,
    family: str = "",
    renderer: str = FRAMES,
    like: Workload | None = None,
) -> Workload:
    """The workload of a recorded session; bodies are read for levels, needs and retrieval, and then let go.

    Tokens are counted as the renderer sends them; a trace has its own counts and keeps its renderer. `like` is the
    same session under another renderer, whose retrieved pages are reused.
    """
    opened = opening(recording, counter.name)
    if recording.opened is None:
        opened = replace(opened, renderer=RENDERERS[renderer])
    tally: Counter[str] = Counter()
    with closing(open_log("memory:", reproducible=True)) as log:
        edge = Edge(log.vault(recording.session_id, SEED), counter, renderer=opened.renderer)
        inputs = tuple(_timed(commands(recording, edge, opened, tally)))[1:]
        same = like is not None and _searched(like.inputs) == _searched(inputs)
        retrieved = like.retrieved if like is not None and same else tuple(_retrieved(inputs, edge))
    skipped = {**recording.skipped, **tally}
    return Workload(
        recording.session_id,
        family or recording.format,
        replace(opened, linked_to=None, project=None),
        inputs,
        tuple(needs_of(inputs)),
        retrieved,
        skipped,
    )


def _timed(stream: Iterable[Command]) -> Iterator[e.Input]:
    """The inputs of commands, each turn with the whole seconds from the last answer to the newest input before it."""
    idle = Idle(0, 0)
    for command in stream:
        data = idle.timed(command.data)
        idle.saw(data, command.at_us)
        yield data


def _searched(inputs: Iterable[e.Input]) -> list[tuple[str, str, PageType, Author] | None]:
    """The texts given to a retriever, by their commitments, in order; None for a turn."""
    told = (data for data in inputs if isinstance(data, e.TurnBegan | e.PageWritten))
    return [
        (data.page_id, data.levels[0].body, data.page_type, data.author) if isinstance(data, e.PageWritten) else None
        for data in told
    ]


def _retrieved(inputs: Iterable[e.Input], edge: Edge) -> Iterator[tuple[str, ...]]:
    """For each turn the pages that a retriever finds, best first."""
    with closing(Retrieval()) as retrieval:
        for data in inputs:
            if isinstance(data, e.TurnBegan):
                yield retrieval.best(RETRIEVED_MAX)
            elif isinstance(data, e.PageWritten):
                text = edge.open(data.levels[0].body) or ""
                retrieval.put(int(data.page_id[1:]), text, data.page_type, data.author)


def needs_of(inputs: Sequence[e.Input]) -> Iterator[tuple[NeedAt, ...]]:
    """For each input its counted needs, by the engine's own rule: once per turn and set of holders."""
    turn = 0
    tokens: dict[str, Mapping[int, int]] = {}
    available: dict[str, int] = {}
    met: set[frozenset[str]] = set()
    for data in inputs:
        found: list[NeedAt] = []
        if isinstance(data, e.TurnBegan):
            turn += 1
            met.clear()
        elif isinstance(data, e.PageWritten):
            tokens[data.page_id] = {RANK[level.level]: level.tokens for level in data.levels}
            available[data.page_id] = turn
        needs: tuple[Need, ...] = getattr(data, "needs", ())
        for need in needs:
            holders = frozenset([holder.page_id for holder in need.holders])
            if holders in met:
                continue
            met.add(holders)
            options = tuple(_options(need, tokens))
            distance = turn - max(available[page_id] for page_id in holders)
            found.append(NeedAt(turn, options, distance))
            available.update(dict.fromkeys(holders, turn))
        yield tuple(found)


def _options(need: Need, tokens: Mapping[str, Mapping[int, int]]) -> Iterator[Option]:
    for holder in need.holders:
        sizes = tokens[holder.page_id]
        ranks = [rank for rank in (RANK[level] for level in holder.levels) if rank in sizes]
        if ranks:
            rank = min(ranks, key=lambda r: (sizes[r], r))
            yield Option(holder.page_id, rank, sizes[rank])
