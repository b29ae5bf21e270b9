"""Texts in the form in which they are compared: pages without the harness's decorations, and texts used by calls."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Final

from clawvm_es.limits import NEED_CHARS_MIN_LEAF
from clawvm_es.observe.fields import parse_json
from clawvm_es.observe.patches import replaced
from clawvm_es.observe.signatures import Lexeme
from clawvm_es.observe.tools import Role, Tool

_REMINDER: Final = ("<system-reminder>", "</system-reminder>")
_ARROWS = re.compile(r"^ *\d+→", re.MULTILINE)
_TABS = re.compile(r"^ *\d+\t", re.MULTILINE)
_NUMBERED = re.compile(r" *(\d{1,9})\t[^\n]*\n *(\d{1,9})\t")
_SEARCH_GUTTER = re.compile(r"^(?:[^\s:]*?[^\s:\d-][:-])?\d+[:-]", re.MULTILINE)
_VIEW = re.compile(r"(?:The file [^\n]* has been edited\. )?Here's the result of running `cat -n` on [^\n]*:\n")
"""First line of what an editor shows (OpenHands, SWE-agent)."""
_WINDOW = re.compile(r"\[File: [^\n]* lines total\)\]\r?\n(?:\(\d+ more lines above\)\r?\n)?")
_WINDOW_TAIL = re.compile(
    r"(?:\s*\(\d+ more lines below\))?\s*\(Open file: [^\n]*\)\s*\(Current directory: [^\n]*\)\s*bash-\$\s*"
)
_WINDOW_GUTTER = re.compile(r"^\d+:", re.MULTILINE)
"""Parts of a window of SWE-agent: head, tail and line numbers."""
_HEADS: Final = ("Here's the result of running", "The file ", "Chunk ID: ", "Exit code: ", "Wall time: ")
_RAN = re.compile(
    r"(?:Chunk ID: \S+\n)?(?:Exit code: -?\d+\n)?Wall time: [\d.]+ seconds\n(?:Process exited with code -?\d+\n)?"
    r"(?:Original token count: \d+\n)?(?:Total output lines: \d+\n)?Output:\n"
)
"""Lines in front of a command's output (Codex): the time that it took is never the same."""
_HEREDOC = re.compile(r"<<-?\s*['\"\\]?(\w+)['\"]?[^\n]*\n.*?(?:^[ \t]*\1[ \t]*$|\Z)", re.MULTILINE | re.DOTALL)
_PIECE = re.compile(r"[^\s\"'`|;&<>(){}\[\]$=,\\*?^+!#]+")
_ENDS: Final = ".:-@%"
_LIBRARIES: Final = (
    "abc argparse array assert asyncio atomic base64 big bisect bufio builtins bytes chrono cmp collections "
    "console context contextlib contextvars copy crypto csv dataclasses datetime decimal difflib document dns "
    "embed encoding enum errors exec exp filepath flag fmt fs fsp functools gob gzip hash heapq hex hmac html "
    "http https inspect io ioutil iter itertools java javax json list log logging maps math md5 mem mime module "
    "multiprocessing net object operator os path pathlib pem perf_hooks pickle pprint process promise queue rand "
    "random re readline reflect regexp requests runtime scanner secrets sha1 sha256 sha512 shutil signal slices "
    "slog socket sort sql sqlite3 std strconv stream string strings struct subprocess sync sys syscall system "
    "tempfile template testing textproto textwrap threading time tls token traceback types typing unicode "
    "unittest url urllib utf8 util uuid vm warnings weakref window worker_threads x509 xml zip zipfile zlib"
)
_LIBRARY_NAME = re.compile(rf"(?:{'|'.join(_LIBRARIES.split())})(?:[.:]+[A-Za-z_]\w*)+", re.IGNORECASE)
_DIGIT = re.compile(r"\d")


def cleaned(text: str, search: bool = False) -> str:
    """`text` without a harness's decorations: reminders, heads of views, gutters with line numbers.

    With `search`, the gutters of a numbered search are removed, too.
    """
    if _REMINDER[0] in text:
        text = "".join(_outside_reminders(text))
    if "→" in text:
        text = _ARROWS.sub("", text)
    if text.startswith(_HEADS) and (head := _VIEW.match(text) or _RAN.match(text)):
        text = text[head.end() :]
    numbered = _NUMBERED.match(text)
    if numbered and int(numbered[2]) == int(numbered[1]) + 1:
        text = _TABS.sub("", text)
    if "[File: " in text and (window := _WINDOW.search(text)):
        shown = _WINDOW_GUTTER.sub("", _WINDOW_TAIL.sub("", text[window.end() :])).replace("\r\n", "\n")
        text = text[: window.start()] + shown
    if search:
        text = _SEARCH_GUTTER.sub("", text)
    return text


def _outside_reminders(text: str) -> Iterator[str]:
    """The parts of `text` between reminders; an unclosed reminder counts as text."""
    start = 0
    while (opens := text.find(_REMINDER[0], start)) >= 0:
        closes = text.find(_REMINDER[1], opens)
        if closes < 0:
            break
        yield text[start:opens]
        start = closes + len(_REMINDER[1])
    yield text[start:]


def json_leaves(text: str) -> frozenset[str]:
    """The strings and numbers in a JSON text; none for other texts."""
    if not text.lstrip().startswith(("{", "[")):
        return frozenset()
    try:
        layer = [parse_json(text)]
    except ValueError:
        return frozenset()
    leaves: set[str] = set()
    while layer:
        inner: list[object] = []
        for node in layer:
            if isinstance(node, dict):
                inner.extend(node.values())
            elif isinstance(node, list):
                inner.extend(node)
            elif isinstance(node, str) or type(node) is int:
                leaves.add(str(node))
        layer = inner
    return frozenset(leaves)


def has_digit(text: str) -> bool:
    """Tell whether `text` contains a digit."""
    return _DIGIT.search(text) is not None


def taken(tool: Tool, arguments: Mapping[str, object]) -> Iterator[tuple[str, bool]]:
    """The texts of a call that the model may have taken from its context, and whether an edit replaces them.

    These are whole values of arguments, and pieces without `/` of commands and patterns. Left out are paths, names of
    standard libraries (models know them by heart), and text that the model writes. Each has at least
    `limits.NEED_CHARS_MIN_LEAF` characters.
    """
    for name, value in arguments.items():
        for role, text in _strings(tool, name, value):
            if role is Role.REPLACED:
                yield text, True
            elif role is Role.VALUE:
                if len(text) >= NEED_CHARS_MIN_LEAF:
                    yield text, False
            elif role is Role.PATCH:
                yield from ((old, True) for old in replaced(text))
            elif role in (Role.COMMAND, Role.PATTERN):
                yield from ((old, True) for old in replaced(text))
                yield from ((piece, False) for piece in pieces(text) if not _is_library_name(piece))


def _is_library_name(text: str) -> bool:
    """Tell whether a name is like `json.Unmarshal`: a module of a standard library and a member."""
    return _LIBRARY_NAME.fullmatch(text) is not None


def written(arguments: Mapping[str, object]) -> Iterator[str]:
    """All strings in a call's arguments: each is text that the model wrote."""
    layer: list[object] = list(arguments.values())
    while layer:
        node = layer.pop()
        if isinstance(node, str):
            if not isinstance(node, Lexeme):
                yield node
        elif isinstance(node, dict):
            layer.extend(node.values())
        elif isinstance(node, list):
            layer.extend(node)


def pieces(text: str) -> Iterator[str]:
    """The words without `/` in a command or search pattern; bodies of here-documents count as written text."""
    if "<<" in text:
        text = _HEREDOC.sub(" ", text)
    words = (word.strip(_ENDS) for word in _PIECE.findall(text) if "/" not in word)
    yield from (word for word in words if len(word) >= NEED_CHARS_MIN_LEAF)


def _strings(tool: Tool, name: str, value: object) -> Iterator[tuple[Role, str]]:
    """The strings in one argument; inside objects each has the role of its own name."""
    role = tool.roles.get(name, Role.VALUE)
    if isinstance(value, str):
        if not isinstance(value, Lexeme):
            yield role, value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _strings(tool, key if key in tool.roles else name, item)
    elif isinstance(value, list):
        for item in value:
            yield from _strings(tool, name, item)
