"""Shell programs that only read, as data: each with the options and operands that make it write.

A program that is not listed may write. Options are those of GNU and BSD, by their manuals.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final

import attrs

Word = str | None
"""One argument; None where its text is known only when the command runs."""


@attrs.frozen
class Program:
    """One program that reads, and the arguments that make it write or run another program.

    `short` holds option letters, `long` the names of long options (GNU accepts any unambiguous prefix), and
    `expressions` the prefixes of single-dash words. `takes` holds option letters with a value, which ends a cluster
    of letters. Operands beyond the first `operands` are written to (None: no limit); with `formats`, words that begin
    with `+` do not count as operands. `stable` programs read files only: their output changes only if a file does.
    """

    short: str = ""
    long: tuple[str, ...] = ()
    expressions: tuple[str, ...] = ()
    takes: str = ""
    operands: int | None = None
    formats: bool = False
    stable: bool = True

    @property
    def only_reads(self) -> bool:
        """True if no argument can make the program write."""
        return not (self.short or self.long or self.expressions) and self.operands is None

    def reads(self, words: Sequence[Word]) -> bool:
        """True if the program only reads with these arguments; False when in doubt."""
        if self.only_reads:
            return True
        operands, rest = 0, iter(words)
        for word in rest:
            if word is None:
                return False  # it may be an option
            if word == "--":
                operands += sum(1 for _ in rest)
            elif self.expressions:
                if word.startswith(self.expressions):
                    return False
            elif word.startswith("--"):
                if self._long_writes(word[2:].partition("=")[0]):
                    return False
            elif word.startswith("-") and word != "-":
                letter = next((each for each in word[1:] if each in self.short + self.takes), "")
                if letter and letter in self.short:
                    return False
                if letter and word.endswith(letter):
                    next(rest, None)  # the option's value
            elif not (self.formats and word.startswith("+")):
                operands += 1
        return self.operands is None or operands <= self.operands

    def _long_writes(self, name: str) -> bool:
        return any(option.startswith(name) for option in self.long)


_PLAIN: Final = (
    "ls cat head tail grep egrep fgrep wc pwd cd echo printf which type stat du diff cmp cut tr jq nl basename "
    "dirname realpath readlink true false : test [ exit md5sum sha1sum sha224sum sha256sum sha384sum sha512sum "
    "shasum cksum b2sum od strings comm paste fold fmt expand unexpand column rev tac seq zcat bzcat xzcat hexdump "
    "nm readelf file"
)
_CHANGING: Final = "ps df free uptime id whoami groups nproc uname arch printenv pgrep lsof sleep"
"""Programs that read what changes without any file: processes, users, the environment."""

PROGRAMS: Final[Mapping[str, Program]] = MappingProxyType(
    {
        **dict.fromkeys(_PLAIN.split(), Program()),
        **dict.fromkeys(_CHANGING.split(), Program(stable=False)),
        "ag": Program(long=("pager",)),
        "base64": Program(short="o", long=("output",), takes="bwi"),
        "date": Program(short="sf", long=("set", "file"), takes="dIrR", operands=0, formats=True, stable=False),
        "fd": Program(short="xX", long=("exec", "exec-batch"), takes="deEtSoj"),
        "file": Program(short="C", long=("compile",), takes="efFmP"),
        "find": Program(expressions=("-exec", "-ok", "-delete", "-fprint", "-fls")),
        "hostname": Program(short="Fb", long=("file", "boot"), operands=0, stable=False),
        "rg": Program(long=("pre", "hostname-bin"), takes="ABCEMefgjmrtT"),
        "sort": Program(short="o", long=("output", "compress-program"), takes="kStT"),
        "tree": Program(short="oR", long=("output",), takes="LPIH"),
        "uniq": Program(takes="fsw", operands=1),
        "xxd": Program(takes="cglnosR", operands=1),
    }
)
"""Name → the program."""

_GIT_PLAIN: Final = "ls-files ls-tree rev-parse describe merge-base name-rev show-ref count-objects status"
_GIT_SHOWING: Final = "log show diff blame shortlog rev-list grep cat-file whatchanged"
_GIT_SHOWS: Final = Program(
    short="O", long=("output", "ext-diff", "textconv", "filters", "open-files-in-pager"), takes="SGnLU"
)
GIT: Final[Mapping[str, Program]] = MappingProxyType(
    {
        **dict.fromkeys(_GIT_SHOWING.split(), _GIT_SHOWS),
        **dict.fromkeys(_GIT_PLAIN.split(), Program()),
    }
)
"""git command → the program. They change no file and no ref; `status` may refresh the index, which nothing reads."""
_GIT_LISTS: Final[Mapping[str, re.Pattern[str]]] = MappingProxyType(
    {
        "branch": re.compile(r"(?:-a|-r|-v|-vv|-l|--list|--all|--remotes|--verbose|--show-current|--no-color| )*"),
        "remote": re.compile(r"(?:-v|--verbose| )*|show \S+|get-url \S+"),
        "stash": re.compile(r"list|show"),
        "tag": re.compile(r"(?:-l|--list|-n\d*| )*"),
        "config": re.compile(r"(?:--(?:global|local|system) )?(?:--list|-l|--get(?:-all)? \S+|[\w.-]+)"),
        "worktree": re.compile(r"list(?: --porcelain)?"),
    }
)
"""git commands that list with some arguments and write with others → the arguments with which they list."""


def git(words: Sequence[Word]) -> bool:
    """True if a git command only reads."""
    rest = list(words)
    while rest and rest[0] in ("-C", "--no-pager", "-P"):
        rest = rest[2:] if rest[0] == "-C" else rest[1:]
    if not rest or rest[0] is None:
        return False
    name, arguments = rest[0], rest[1:]
    if name in _GIT_LISTS:
        return None not in arguments and _GIT_LISTS[name].fullmatch(" ".join(map(str, arguments))) is not None
    program = GIT.get(name)
    return program is not None and program.reads(arguments)


# ------------------------------------------------------------------------------------------- scripts

_ADDRESS: Final = r"(?:\d+(?:~\d+)?|\$|/(?:\\.|[^/\\\n])+/I?)"
_SUBSTITUTE: Final = r"[sy](?P<d>[/|#,:@!%])(?:\\.|(?!(?P=d))[^\\\n])*(?P=d)(?:\\.|(?!(?P=d))[^\\\n])*(?P=d)[gpiI\d]*"
_SED: Final = re.compile(
    rf"(?:{_ADDRESS}(?:,(?:{_ADDRESS}|\+\d+))?\s*!?\s*)?(?:[pdDPn=]|q\d*|{_SUBSTITUTE})\s*(?:[;\n]\s*|$)"
)
_AWK_WRITES: Final = re.compile(r">|\||system|getline|fflush|close|@")


def sed(words: Sequence[Word]) -> bool:
    """True if a sed command prints, deletes and substitutes only, and changes no file in place."""
    scripts: list[str] = []
    operands: list[str] = []
    rest = iter(words)
    for word in rest:
        if word is None:
            return False
        if word in ("-e", "--expression"):
            scripts.append(next(rest, None) or "")
        elif re.fullmatch(r"-[nErsuz]+|--quiet|--silent|--regexp-extended", word):
            continue
        elif word.startswith("-"):
            return False
        else:
            operands.append(word)
    if not scripts:
        scripts = operands[:1]
    return bool(scripts) and all(map(_sed_prints, scripts))


def _sed_prints(script: str) -> bool:
    at, text = 0, script.strip()
    while at < len(text):
        found = _SED.match(text, at)
        if found is None or found.end() == at:
            return False
        at = found.end()
    return bool(text)


def awk(words: Sequence[Word]) -> bool:
    """True if an awk program neither redirects nor runs anything."""
    rest = iter(words)
    for word in rest:
        if word is None:
            return False
        if word in ("-F", "-v"):
            next(rest, None)
        elif not word.startswith(("-F", "-v")):
            return not word.startswith("-") and _AWK_WRITES.search(word) is None
    return False


# ------------------------------------------------------------------------------------------ wrappers


@attrs.frozen
class Wrapper:
    """A program that runs the command in its arguments, after options (`takes` with a value) and `operands` words."""

    takes: str = ""
    operands: int = 0
    adds: tuple[Word, ...] = ()

    def inner(self, words: Sequence[Word]) -> list[Word] | None:
        """The command that is run, with its arguments; None when in doubt, empty if there is none."""
        rest = list(words)
        while rest and rest[0] is not None and rest[0].startswith("-"):
            option = rest.pop(0) or ""
            if option.startswith("--") or not re.fullmatch(r"-[A-Za-z0-9{}]+", option):
                return None
            if option[1] in self.takes and len(option) == 2:
                rest = rest[1:]
        rest = rest[self.operands :]
        return [*rest, *self.adds] if rest else []


WRAPPERS: Final[Mapping[str, Wrapper]] = MappingProxyType(
    {
        "nice": Wrapper(takes="n"),
        "time": Wrapper(),
        "timeout": Wrapper(takes="sk", operands=1),
        "xargs": Wrapper(takes="nIPLds", adds=(None,)),  # what it reads becomes arguments
    }
)
