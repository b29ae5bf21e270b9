"""The storages of journals: each package implements the ports of `journal.ports`, and only storages know SQL.

A journal is named by a URL:

    URL                  | storage
    ---------------------+------------------------------------------------------
    `path/to/j.db`       | an SQLite file
    `sqlite:///j.db`     | the same; `sqlite:////srv/j.db` is an absolute path
    `memory:`            | a new log in memory, which lives as long as the object
    `postgresql://…`     | a schema in a PostgreSQL database; see `storage.postgres.address`
    `x.clawvm.bundle.gz` | a bundle, or a folder with some: an archive, which is only read

The module of a storage has `open_log`; if journals outlive the process, also `verify`, `exists` and `backup`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from importlib import import_module
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from clawvm_es.errors import MissingCapability, UsageError
from clawvm_es.journal.ports import verifying
from clawvm_es.journal.problems import silent
from clawvm_es.limits import LOCK_WAIT_S
from clawvm_es.urls import whole

if TYPE_CHECKING:
    from clawvm_es.journal.ports import EventLog, RankedTexts, Substrings
    from clawvm_es.journal.problems import Note, Problem
    from clawvm_es.storage.postgres.administration import Finding
    from clawvm_es.storage.sqlite.backup import Backup

SCHEMES: Final = MappingProxyType(
    {
        "memory": "clawvm_es.storage.memory.backend",
        "postgres": "clawvm_es.storage.postgres.backend",
        "postgresql": "clawvm_es.storage.postgres.backend",
        "sqlite": "clawvm_es.storage.sqlite.backend",
    }
)
"""Scheme of a URL → the module of its storage, which is loaded when it is first asked for."""
_URL: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+)://(.*)", re.DOTALL)
_BUNDLES: Final = "clawvm_es.storage.bundles.backend"
_MEMORY: Final = ("memory:", ":memory:")
_SERVERS: Final = ("postgres", "postgresql")
"""Schemes whose storage reads the whole URL."""


def open_log(
    url: str | os.PathLike[str],
    *,
    connect: Callable[..., Any] | None = None,
    wait_s: float = LOCK_WAIT_S,
    read_only: bool = False,
    reproducible: bool = False,
    group: bool = False,
) -> EventLog:
    """Open the journal at `url`; if there is none, make one, marked `reproducible` on request.

    `connect` makes the connections in place of the storage's own library (SQLite: `sqlite3.connect`). `wait_s` bounds
    each wait for other writers, in seconds. With `read_only`, or if the file is not writable, every write raises
    `JournalReadOnly`. A new file is readable by its owner only, with `group` also by its group. Raises `UsageError`
    for an unknown scheme, and what the storage raises.
    """
    module, place = _located(url)
    options = {"wait_s": wait_s, "read_only": read_only, "reproducible": reproducible, "group": group}
    log: EventLog = module.open_log(place, **options, **_given(connect))
    return log


def verify(
    log: EventLog | str | os.PathLike[str],
    *,
    fast: bool = False,
    note: Note = silent,
    connect: Callable[..., Any] | None = None,
) -> tuple[Problem, ...]:
    """All problems of a journal, given as a log or a URL; see `Verifying`. A damaged file need not be openable.

    Raises `UnreadableInput` if there is no journal, `MissingCapability` for a storage that cannot verify.
    """
    if not isinstance(log, str | os.PathLike):
        return verifying(log, "verify").verify(fast, note)
    module, place = _located(log)
    found: tuple[Problem, ...] = _offered(module, "verify")(place, fast=fast, note=note, **_given(connect))
    return found


def backup(
    url: str | os.PathLike[str],
    destination: str | os.PathLike[str],
    *,
    force: bool = False,
    group: bool = False,
    progress: Callable[[int, int], None] | None = None,
    connect: Callable[..., Any] | None = None,
) -> Backup:
    """Copy the journal at `url` to `destination`, whole or not at all; see `storage.sqlite.backup`.

    Raises `MissingCapability` for a storage that cannot copy.
    """
    module, place = _located(url)
    options = {"force": force, "group": group, "progress": progress}
    made: Backup = _offered(module, "backup")(place, destination, **options, **_given(connect))
    return made


def initialize(
    url: str | os.PathLike[str], *, writer: str | None = None, reader: str | None = None, reproducible: bool = False
) -> list[str]:
    """Make a journal on a server, with rights for two roles; returns what was done, one sentence each.

    Raises `MissingCapability` for a storage without roles, `UsageError` if the caller may not do that.
    """
    module, place = _located(url)
    options = {"writer": writer, "reader": reader, "reproducible": reproducible}
    done: list[str] = _offered(module, "initialize")(place, **options)
    return done


def doctor(url: str | os.PathLike[str]) -> list[Finding]:
    """Check a server for a journal's requirements; each finding that is not good says what to do."""
    module, place = _located(url)
    found: list[Finding] = _offered(module, "doctor")(place)
    return found


def exists(url: str | os.PathLike[str]) -> bool:
    """Tell whether there is a journal at `url`, without writing. Raises what opening it would raise."""
    module, place = _located(url)
    return bool(_offered(module, "exists")(place))


def on_server(url: str | os.PathLike[str]) -> bool:
    """Tell whether a URL names a journal on a server, which allows several writing processes."""
    found = _URL.fullmatch(whole(url))
    return found is not None and found[1] in _SERVERS


def read_bytes(path: str, most: int = -1) -> bytes:
    """The first `most` bytes of an input file (-1: all); the file may be a journal that is open here.

    Closing another descriptor of an open journal would drop the locks that SQLite holds on it (LAW-RAW-1).
    """
    from clawvm_es.storage.sqlite import raw

    return raw.read_bytes(path, most)


def ranked_texts() -> RankedTexts:
    """Make an empty full-text index in memory, ranked by BM25."""
    from clawvm_es.storage.sqlite.text_index import Ranked

    return Ranked()


def _located(url: str | os.PathLike[str]) -> tuple[Any, str]:
    """The module of the storage that a URL names, and the place in it."""
    text = whole(url)
    match = _URL.fullmatch(text)
    if text in _MEMORY:
        scheme, place = "memory", ""
    elif match is None:
        scheme, place = "sqlite", text
    else:
        scheme, place = match[1].lower(), match[2]
        if scheme in _SERVERS:
            return import_module(SCHEMES[scheme]), text
        if scheme in SCHEMES and not (place.startswith("/") and len(place) > 1):
            raise UsageError(f"{scheme}:// names no journal here", hint="sqlite:///j.db, or sqlite:////srv/j.db")
        place = place[1:]
    if scheme == "sqlite" and (place.endswith((".bundle", ".bundle.gz")) or os.path.isdir(place)):
        bundles = import_module(_BUNDLES)
        if bundles.is_place(place):
            return bundles, place
    if scheme not in SCHEMES:
        known = "a path, sqlite:///PATH, memory:, postgresql://…"
        raise UsageError(f"no storage is called {scheme!r}", hint=f"a journal is {known}")
    return import_module(SCHEMES[scheme]), place


def _offered(module: Any, verb: str) -> Callable[..., Any]:
    """A function of a storage that not every storage has."""
    found = getattr(module, verb, None)
    if found is None:
        kind = next((scheme for scheme, name in SCHEMES.items() if name == module.__name__), "bundle")
        hint = getattr(module, "INSTEAD", {}).get(verb, "")
        raise MissingCapability(f"{verb} is not possible here: the storage {kind} does not have it", hint=hint)
    return found  # type: ignore[no-any-return]


def _given(connect: Callable[..., Any] | None) -> dict[str, Any]:
    return {} if connect is None else {"connect": connect}


def substrings() -> Substrings:
    """An empty index of substrings for this process."""
    from clawvm_es.storage.sqlite.substrings import Series

    return Series()
