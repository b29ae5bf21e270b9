"""Hints: pages of files that a text names, known before their turn begins."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable

import attrs

from clawvm_es.limits import NEED_HOLDERS_MAX

_WORD = re.compile(r"[\w.+@~/-]+")
_LEADING = re.compile(r"^(?:\.{0,2}/)+")


@attrs.define
class Hints:
    """The newest page of each file, by file name, and the names in the present texts."""

    pages: dict[str, str] = attrs.field(factory=dict)  # path → newest page
    _paths: dict[str, dict[str, None]] = attrs.field(factory=dict)  # last name → paths
    _named: dict[str, tuple[str, ...]] = attrs.field(factory=dict)  # text's source → names in it

    def read(self, path: str, page_id: str) -> None:
        """A page with the content of `path` was written."""
        self.pages[path] = page_id
        self._paths.setdefault(posixpath.basename(path), {})[path] = None

    def say(self, source: str, text: str) -> None:
        """Take the newest text of a source (the user, a plan), in place of its last one."""
        words = (word.rstrip("./-") for word in _WORD.findall(text) if "/" in word or "." in word)
        self._named[source] = tuple(dict.fromkeys(word for word in words if "/" in word or "." in word))

    def now(self) -> tuple[str, ...]:
        """The pages that the texts name, in order of naming."""
        found: dict[str, None] = {}
        for names in self._named.values():
            for name in names:
                found.update(dict.fromkeys(self.pages[path] for path in self._matches(name)))
        return tuple(found)

    def _matches(self, name: str) -> Iterable[str]:
        """Known paths that `name` may mean; a name that matches too many files means none."""
        paths = self._paths.get(posixpath.basename(name), ())
        tail = "/" + _LEADING.sub("", name)
        matching = [path for path in paths if path.endswith(tail) or path == name]
        return matching if len(matching) <= NEED_HOLDERS_MAX else ()
