"""Shell completion: sessions, pages and fields of the journal that the typed words name, and names of the program.

It reads stored rows without writing or folding, and offers nothing if it cannot read.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import wraps
from importlib import import_module
from typing import TYPE_CHECKING, Final, TypeAlias

import click
from click.shell_completion import CompletionItem

from clawvm_es.cli import place

if TYPE_CHECKING:
    from clawvm_es.journal.ports import EventLog

Completer: TypeAlias = Callable[[click.Context, click.Parameter, str], list[CompletionItem]]
OFFERED: Final = 500
"""Words that are offered at most."""
_UNFOLDED: Final = 2_000
"""Events that are read for the pages of a session whose page table is not stored yet."""


def _of_the_journal(read: Callable[[EventLog, str], Iterable[str]]) -> Completer:
    """Complete words that `read` finds in the journal for the named session, "" if none is named.

    Nothing is offered if the journal cannot be read.
    """

    @wraps(read)
    def complete(context: click.Context, _: click.Parameter, incomplete: str) -> list[CompletionItem]:
        from clawvm_es.storage import open_log

        try:
            path = _path(context)
            if path is None:
                return []
            with open_log(path, read_only=True) as log:
                return _items(read(log, context.params.get("session") or ""), incomplete)
        except Exception:
            return []

    return complete


@_of_the_journal
def sessions(log: EventLog, _: str) -> Iterable[str]:
    """The ids of all sessions."""
    return _known(log)


@_of_the_journal
def pages(log: EventLog, session: str) -> Iterable[str]:
    """The ids of the pages in the named session, or the only one."""
    known = _known(log)
    found = [each for each in known if each == session] or [each for each in known if each.startswith(session)]
    return _page_ids(log, found[0]) if len(found) == 1 else []


@_of_the_journal
def fields(log: EventLog, session: str) -> Iterable[str]:
    """The fields of the durable store in the named session, or in all."""
    from clawvm_es import views

    rows = views.store(log, views.chosen(log, session) if session else None)["fields"]
    return sorted({row["field"] for row in rows})


def policies(_: click.Context, __: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The names of policies with this prefix."""
    from clawvm_es.core.profiles import PROFILES

    return _items(PROFILES, incomplete)


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


def _named(module: str, name: str) -> Callable[[], Iterable[str]]:
    """Names that a module holds, which loads when they are asked for."""
    return lambda: getattr(import_module(module), name)


def _events() -> Iterable[str]:
    from clawvm_es.model.events import EVENT_TYPES

    return sorted(EVENT_TYPES)


def _parts() -> Iterable[str]:
    from clawvm_es.evaluation.experiments import ALL, PARTS

    return (*PARTS, ALL)


_NAMES: Final[Mapping[str, Callable[[], Iterable[str]]]] = {
    "families": _named("clawvm_es.evaluation.families", "FAMILIES"),
    "fault": _named("clawvm_es.model.facts", "FaultType"),
    "fmt": _named("tabulate", "tabulate_formats"),
    "format_": _named("clawvm_es.importers", "FORMATS"),
    "page_type": _named("clawvm_es.model.pages", "PageType"),
    "parts": _parts,
    "policies": _named("clawvm_es.evaluation.policies", "POLICIES"),
    "prices": _named("clawvm_es.prices.lists", "NAMES"),
    "question": _named("clawvm_es.views.lake", "QUESTIONS"),
    "renderer": _named("clawvm_es.representations.messages", "RENDERERS"),
    "renderers": lambda: ("messages", "frames"),
    "types": _events,
    "without": _named("clawvm_es.model.profile", "Capability"),
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


def _known(log: EventLog) -> list[str]:
    """The ids of all sessions, without the streams of shared scopes."""
    from clawvm_es.model.events import SCOPE_PREFIX

    return [head.session_id for head in log.heads() if not head.session_id.startswith(SCOPE_PREFIX)]


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
