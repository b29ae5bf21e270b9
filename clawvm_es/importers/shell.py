"""Which shell commands only read. Whatever is not surely on the list may change anything."""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

_PROGRAMS: Final = (
    "ls cat head tail grep egrep fgrep wc pwd cd echo which type stat du df diff cmp cut tr jq nl basename dirname "
    "realpath readlink true test [ md5sum sha1sum sha256sum shasum cksum od strings comm paste fold rev tac"
)
READ_ONLY: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        **dict.fromkeys(_PROGRAMS.split(), ()),
        "rg": ("--pre",),
        "tree": ("-o",),
        "sort": ("-o", "--output", "--compress-program"),
        "find": ("-exec", "-ok", "-delete", "-fprint", "-fls"),
    }
)
"""Programs that write nothing but their output → beginnings of the options with which they do more."""
_GIT: Final = (
    "log show diff status blame ls-files ls-tree rev-parse rev-list grep describe shortlog cat-file merge-base"
)
GIT_READ_ONLY: Final = frozenset(_GIT.split())
"""git commands that change no file, no ref and no index that a later read would see."""
_GIT_WRITES: Final = ("--output", "-O", "--open-files-in-pager", "--ext-diff", "--textconv")

_QUOTED = re.compile(r"\\.|'([^']*)'|\"((?:[^\"\\]|\\.)*)\"", re.DOTALL)
_SPECIAL = re.compile(r"[^\w,.$/:=+-]")
_HARMLESS = re.compile(r"\d?>&\d|\d?>\s*/dev/null|&>\s*/dev/null")
_SEPARATOR = re.compile(r"&&|\|\||[;|\n]")
_ASSIGNMENT = re.compile(r"\w+=")
_SED_PRINT = re.compile(r"-n [\d,$]+p\b(?! *;)")


def read_only(command: str) -> bool:
    """Whether every part of a command line only reads; False when in doubt."""
    if "`" in command or "$(" in command:
        return False
    text = _HARMLESS.sub(" ", _QUOTED.sub(_plain, command))
    if not set(text.replace("&&", "")).isdisjoint("<>&'\"\\"):
        return False
    parts = [part.split() for part in _SEPARATOR.split(text)]
    return any(parts) and all(_part(words) for words in parts if words)


def _plain(quoted: re.Match[str]) -> str:
    """Quoted text as one word that separates, redirects and runs nothing."""
    return _SPECIAL.sub("Q", quoted[1] or quoted[2] or "Q")


def _part(words: list[str]) -> bool:
    while words and _ASSIGNMENT.match(words[0]):
        words = words[1:]
    if not words:
        return False
    program, options = words[0].rsplit("/", 1)[-1], words[1:]
    if program == "git":
        return _git(options)
    if program == "sed":
        return _SED_PRINT.match(" ".join(options)) is not None and not any("i" in o for o in options if o[0] == "-")
    if program == "uniq":
        return all(option.startswith("-") for option in options)
    more = READ_ONLY.get(program)
    return more is not None and not any(option.startswith(more) for option in options if more)


def _git(options: list[str]) -> bool:
    while options and options[0] in ("-C", "--no-pager", "-P"):
        options = options[2:] if options[0] == "-C" else options[1:]
    return bool(options) and options[0] in GIT_READ_ONLY and not any(o.startswith(_GIT_WRITES) for o in options)
