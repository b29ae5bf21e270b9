"""Places of journals: in jobs of an executor, and as URLs whose passwords are never printed.

LAW-PASSWORD-1: no message, document or log of this program holds the password of a URL.
"""

from __future__ import annotations

import os
import re
from typing import Final

from clawvm_es.errors import UsageError

_AUTHORITY: Final = re.compile(r"(?P<head>[A-Za-z][A-Za-z0-9+.-]*://[^/?#@:]*):(?P<password>[^/?#]*)@")
_PARAMETER: Final = re.compile(r"(?P<sign>[?&])(?:ssl)?password=[^&#]*&?")
_JOURNAL: Final = "journal "
"""Before the place of a journal in a job: its file is opened where it is, not sent to a worker."""


class Shown(str):
    """A URL in a printable form: without its password, which `whole` restores."""

    __slots__ = ("whole",)
    whole: str


def shown(url: str) -> str:
    """Return the URL without its password; equal to it where it has none."""
    known = whole(url)
    text = (
        _PARAMETER.sub(lambda found: found["sign"], _AUTHORITY.sub(r"\g<head>@", known)) if "://" in known else known
    )
    if text == known:
        return url
    made = Shown(text.rstrip("?&"))
    made.whole = known
    return made


def whole(url: str | os.PathLike[str]) -> str:
    """Return the URL with the password that `shown` removed. Raises `UsageError` for an invalid place."""
    if isinstance(url, Shown):
        return url.whole
    place = os.fspath(url) if isinstance(url, str | os.PathLike) else url
    if not isinstance(place, str) or "\0" in place:
        raise UsageError(f"journal: expected a path or a URL, got {place!r:.40}")
    return place


def placed(path: str) -> str:
    """The place of a journal in a job of an executor; a file's path is absolute."""
    there = whole(path)
    return _JOURNAL + (there if "://" in there else os.path.abspath(there))


def place_of(job: str) -> str:
    """The place that `placed` encoded, in the form in which it is opened and shown."""
    return shown(job.removeprefix(_JOURNAL))
