"""Shell completion: sessions, pages and fields of the journal that the typed words name, and names of the program.

It reads stored rows without writing or folding, and offers nothing if it cannot read.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Final

import click
from click.shell_completion import CompletionItem

from clawvm_es.cli import place

if TYPE_CHECKING:
    from clawvm_es.journal.ports import EventLog

OFFERED: Final = 500
"""Words that are offered at most."""
_UNFOLDED: Final = 2_000
"""Events that are read for the pages of a session whose page table is not stored yet."""


def sessions(context: click.Context, _: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The ids of sessions with this prefix."""
    try:
        return _items(_sessions(context), incomplete)
    except Exception:
        return []


def pages(context: click.Context, _: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The ids of pages with this prefix, in the named session, or the only one."""
    try:
        return _items(_pages(context), incomplete)
    except Exception:
        return []


def policies(_: click.Context, __: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The names of policies with this prefix."""
    from clawvm_es.core.profiles import PROFILES

    return _items(PROFILES, incomplete)


def fields(context: click.Context, _: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The fields of the durable store with this prefix, in the named session, or in all."""
    try:
        return _items(_fields(context), incomplete)
    except Exception:
        return []


def subjects(context: click.Context, option: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The pages and the fields with this prefix."""
    return [*pages(context, option, incomplete), *fields(context, option, incomplete)]


def names(context: click.Context, option: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The names with this prefix that an option takes; of a list with commas, its last one."""
    listed, comma, last = incomplete.rpartition(",")
    words = _NAMES[str(option.name)]()
    return [CompletionItem(f"{listed}{comma}{item.value}") for item in _items(words, last)]


def journal(context: click.Context, argument: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Complete a verb's journal with files; if the journal is known, complete the verb's next argument.

    Click completes an argument of any number of words before all others, so the others are completed here.
    """
    others = [each for each in context.command.params if isinstance(each, click.Argument) and each is not argument]
    typed = _typed(context)
    known = place.named_so_far(context) is not None
    offered = [] if typed else [CompletionItem(incomplete, type="file")]
    behind = len(typed) - (0 if known else 1)
    if 0 <= behind < len(others):
        offered += others[behind].shell_complete(context, incomplete)
    return offered


def _formats() -> Iterable[str]:
    from clawvm_es.importers import FORMATS

    return FORMATS


def _prices() -> Iterable[str]:
    from clawvm_es.prices.lists import NAMES

    return NAMES


def _events() -> Iterable[str]:
    from clawvm_es.model.events import EVENT_TYPES

    return sorted(EVENT_TYPES)


def _page_types() -> Iterable[str]:
    from clawvm_es.model.pages import PageType

    return PageType


def _faults() -> Iterable[str]:
    from clawvm_es.model.facts import FaultType

    return FaultType


def _mechanisms() -> Iterable[str]:
    from clawvm_es.model.profile import Capability

    return Capability


def _renderers() -> Iterable[str]:
    from clawvm_es.representations.messages import RENDERERS

    return RENDERERS


def _tables() -> Iterable[str]:
    from tabulate import tabulate_formats

    return tuple(tabulate_formats)


def _parts() -> Iterable[str]:
    from clawvm_es.evaluation.experiments import ALL, PARTS

    return (*PARTS, ALL)


def _questions() -> Iterable[str]:
    from clawvm_es.views.lake import QUESTIONS

    return QUESTIONS


def _families() -> Iterable[str]:
    from clawvm_es.evaluation.families import FAMILIES

    return FAMILIES


def _evaluated() -> Iterable[str]:
    from clawvm_es.evaluation.policies import POLICIES

    return POLICIES


_NAMES: Final[Mapping[str, Callable[[], Iterable[str]]]] = {
    "families": _families,
    "fault": _faults,
    "fmt": _tables,
    "format_": _formats,
    "page_type": _page_types,
    "parts": _parts,
    "policies": _evaluated,
    "prices": _prices,
    "question": _questions,
    "renderer": _renderers,
    "renderers": lambda: ("messages", "frames"),
    "types": _events,
    "without": _mechanisms,
}
"""Parameter → the names that it takes, for parameters whose names are the same in every journal."""


def _items(words: Iterable[str], incomplete: str) -> list[CompletionItem]:
    return [CompletionItem(word) for word in words if word.startswith(incomplete)][:OFFERED]


def _typed(context: click.Context) -> list[str]:
    """The arguments before the one being completed."""
    others = [each for each in context.command.params if isinstance(each, click.Argument) and each.nargs == 1]
    named = (context.params.get(each.name or "") for each in others)
    words = [*place.words_so_far(context), *(each for each in named if isinstance(each, str))]
    return [word for word in words if word] or list(context.args)  # unread behind an option that has no value yet


def _path(context: click.Context) -> str | None:
    """The journal that the typed words mean: the first one that exists."""
    candidates: Sequence[str | None] = (
        place.named_so_far(context),
        *_typed(context)[:1],
        os.environ.get(place.VARIABLE),
        place.default_journal(),
    )
    return next((path for path in candidates if path and os.path.isfile(path)), None)


def _sessions(context: click.Context) -> list[str]:
    from clawvm_es.storage import open_log

    path = _path(context)
    if path is None:
        return []
    with open_log(path, read_only=True) as log:
        return _known(log)


def _known(log: EventLog) -> list[str]:
    """The ids of all sessions, without the streams of shared scopes."""
    from clawvm_es.model.events import SCOPE_PREFIX

    return [head.session_id for head in log.heads() if not head.session_id.startswith(SCOPE_PREFIX)]


def _pages(context: click.Context) -> list[str]:
    from clawvm_es.storage import open_log

    path, wanted = _path(context), context.params.get("session") or ""
    if path is None:
        return []
    with open_log(path, read_only=True) as log:
        known = _known(log)
        found = [each for each in known if each == wanted] or [each for each in known if each.startswith(wanted)]
        return _page_ids(log, found[0]) if len(found) == 1 else []


def _fields(context: click.Context) -> list[str]:
    from clawvm_es import views
    from clawvm_es.storage import open_log

    path, wanted = _path(context), context.params.get("session")
    if path is None:
        return []
    with open_log(path, read_only=True) as log:
        rows = views.store(log, views.chosen(log, wanted) if wanted else None)["fields"]
    return sorted({row["field"] for row in rows})


def _page_ids(log: EventLog, session_id: str) -> list[str]:
    from clawvm_es.journal.lineage import read_session
    from clawvm_es.journal.ports import models_of
    from clawvm_es.model.events import PageWritten
    from clawvm_es.projections.tables import MODELS, PAGE_TABLE

    models = models_of(log, MODELS)
    if models is not None:
        with models.reading() as reader:
            if reader.position() is not None:
                rows = map(PAGE_TABLE.parse, reader.rows(PAGE_TABLE.spec, session_id))
                return [row.page_id for row in sorted(rows, key=PAGE_TABLE.sort_key)]
    written = (row.data for row in read_session(log, session_id, upto=_UNFOLDED))
    return list(dict.fromkeys(data.page_id for data in written if isinstance(data, PageWritten)))
