"""Parts of a state in a snapshot: the mappings that grow with a session become trees, all other fields the head.

A page's record holds only facts that its `page_written` event lacks; the event is read with the page. A new field
of `State` goes into the head automatically.
"""

from __future__ import annotations

import copy
import hashlib
import typing
import zlib
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any, Final, TypeAlias

import attrs
import msgspec

from clawvm_es.core.evolve import REDUCER_VERSION, adopt
from clawvm_es.core.pages import page_of
from clawvm_es.core.state import Asked, Call, Content, FieldKey, Group, Page, Returned, State, Update
from clawvm_es.journal.snapshots.seal import Damaged
from clawvm_es.journal.snapshots.tree import LEAF_SHIFT
from clawvm_es.journal.upcasters import UPCASTERS_VERSION
from clawvm_es.model.events import Event, PageWritten, SessionOpened
from clawvm_es.model.facts import Entry, Evidence, ResourceClass, UpdateFacts, Verdict
from clawvm_es.model.pages import Pin
from clawvm_es.model.profile import Profile, Weights

FORMAT: Final = 4
"""Format of snapshots."""
EventsAt: TypeAlias = Callable[[Sequence[int]], Mapping[int, Event]]
"""Versions of a session → their events."""
PageRecord: TypeAlias = tuple[int, int, int, int, int, int, int, int]
"""(number, content version, written version, last used, uses, edited, pin, flags); bytes until looked at."""

_PINS: Final = tuple(Pin)
_HASHED_LEAVES: Final = 64
_DIGITS_MAX: Final = 15


@attrs.frozen
class Part:
    """One mapping of the state as a tree: the leaf of a key, and the conversion of a value to a record and back."""

    name: str
    number: int
    leaf_of: Callable[[Any], int]
    freeze: Callable[[Any], Any]
    thaw: Callable[[dict[Any, Any], EventsAt], dict[Any, Any]]
    decode: Callable[[bytes], dict[Any, Any]]


def _numbered(key: int) -> int:
    return key >> LEAF_SHIFT


@lru_cache(4096)
def _by_page(page_id: str) -> int:
    """Pages are numbered as they come; an id that is not `p` and a number stands among hashed ones."""
    digits = page_id[1:]
    if page_id.startswith("p") and digits.isascii() and digits.isdecimal() and len(digits) <= _DIGITS_MAX:
        return int(digits) >> LEAF_SHIFT
    return -1 - zlib.crc32(page_id.encode("utf-8", "surrogatepass")) % _HASHED_LEAVES


def _hashed(key: str) -> int:
    return zlib.crc32(key.encode()) % _HASHED_LEAVES


def _by_field(key: FieldKey) -> int:
    return zlib.crc32("\0".join(key).encode("utf-8", "surrogatepass")) % _HASHED_LEAVES


def _freeze_page(page: Page) -> bytes:
    flags = page.dirty | page.retired << 1 | page.gone << 2 | page.redacted << 3 | page.away << 4
    record: PageRecord = (
        page.number, page.content_version, page.written_version, page.last_used, page.uses,
        page.edited, _PINS.index(page.pin), flags,
    )  # fmt: skip
    return _encode(record)


def _thaw_pages(frozen: dict[str, bytes], events_at: EventsAt) -> dict[str, Page]:
    records = {page_id: _decode_record(record) for page_id, record in frozen.items()}
    events = events_at([record[2] for record in records.values()])
    return {page_id: _page(page_id, record, events.get(record[2])) for page_id, record in records.items()}


def _page(page_id: str, record: PageRecord, event: Event | None) -> Page:
    number, content_version, written_version, last_used, uses, edited, pin, flags = record
    if not isinstance(event, PageWritten) or event.page_id != page_id:
        raise Damaged(f"event {written_version} did not write page {page_id}")
    page = page_of(
        event,
        number=number,
        content_version=content_version,
        written_version=written_version,
        last_used=last_used,
        pin=_PINS[pin],
        uses=uses,
        edited=edited,
    )
    page.dirty, page.retired = bool(flags & 1), bool(flags & 2)
    page.gone, page.redacted, page.away = bool(flags & 4), bool(flags & 8), bool(flags & 16)
    return page


def _same(value: Any) -> Any:
    return value


def _all_same(records: dict[Any, Any], _: EventsAt) -> dict[Any, Any]:
    return records


def _copies(records: dict[Any, Any], _: EventsAt) -> dict[Any, Any]:
    return {key: copy.copy(record) for key, record in records.items()}


def _decoder(type_: Any) -> Callable[[bytes], Any]:
    return msgspec.msgpack.Decoder(type_).decode


_encode = msgspec.msgpack.Encoder().encode
_decode_record = _decoder(PageRecord)
PARTS: Final = (
    Part("pages", 0, _by_page, _freeze_page, _thaw_pages, _decoder(dict[str, bytes])),
    Part("calls", 1, _numbered, copy.copy, _copies, _decoder(dict[int, Call])),
    Part("results", 2, _numbered, _same, _all_same, _decoder(dict[int, int])),
    Part("resources", 3, _numbered, _same, _all_same, _decoder(dict[int, ResourceClass])),
    Part("written_keys", 4, _numbered, _same, _all_same, _decoder(dict[int, int])),
    Part("updates", 5, _numbered, copy.copy, _copies, _decoder(dict[int, Update])),
    Part("store", 6, _by_field, _same, _all_same, _decoder(dict[FieldKey, int])),
    Part("shown", 7, _numbered, _same, _all_same, _decoder(dict[int, str])),
    Part("signature_keys", 8, _numbered, _same, _all_same, _decoder(dict[int, str])),
    Part("resource_keys", 9, _numbered, _same, _all_same, _decoder(dict[int, str])),
    Part("groups", 10, _numbered, _same, _all_same, _decoder(dict[int, Group])),
    Part("call_ids", 11, _hashed, _same, _all_same, _decoder(dict[str, int])),
)
"""The mappings that grow."""
OPENING: Final = len(PARTS)
"""The part that holds, under key 0, how the session was opened and its policy: it hardly ever changes."""
decode_opening: Final = _decoder(dict[int, tuple[SessionOpened | None, Profile]])

_NOT_IN_HEAD: Final = frozenset(
    (
        "opened",
        "profile",
        "capabilities",
        "keeps_floors",
        "ranks_reuse",
        "keeps_bootstrap",
        "as_recorded",
        "in_epochs",
        "index",
        "memo",
        *(part.name for part in PARTS),
    )
)
_HINTS: Final = typing.get_type_hints(State)
HEAD_FIELDS: Final = tuple(field.name for field in attrs.fields(State) if field.name not in _NOT_IN_HEAD)
Head = msgspec.defstruct(
    "Head",
    [
        *((name, _HINTS[name]) for name in HEAD_FIELDS),
        ("_counts", dict[int, int]),
        ("_roots", dict[int, dict[int, int]]),
    ],
    array_like=True,
    frozen=True,
)
"""A state without its trees; `_counts` and `_roots` are by part."""
encode_head: Final = _encode
decode_head: Final = _decoder(Head)


def head_of(state: State, roots: Mapping[int, dict[int, int]]) -> Any:
    """Fields of a state outside its trees, with the roots of its trees."""
    counts = {part.number: len(getattr(state, part.name)) for part in PARTS}
    return Head(*(getattr(state, name) for name in HEAD_FIELDS), counts, roots)


def fill(state: State, head: Any, opened: SessionOpened | None, profile: Profile) -> None:
    """Give `state`, which has its trees, everything else."""
    for name in HEAD_FIELDS:
        setattr(state, name, getattr(head, name))
    state.opened = opened
    adopt(state, profile)


def _layout() -> str:
    """A digest of a snapshot's layout, so that a snapshot with another layout is never read."""
    classes = (
        State,
        Page,
        Content,
        Entry,
        Call,
        Asked,
        Group,
        Returned,
        Update,
        UpdateFacts,
        Evidence,
        Verdict,
        SessionOpened,
        Profile,
        Weights,
    )
    fields = [
        (cls.__name__, name, str(hint))
        for cls in classes
        for name, hint in cls.__annotations__.items()
        if not str(hint).startswith("ClassVar")
    ]
    return hashlib.blake2b(repr(fields).encode(), digest_size=4).hexdigest()


MADE_BY: Final = f"{FORMAT}.{REDUCER_VERSION}.{UPCASTERS_VERSION}.{_layout()}"
"""Marks of the program that can use a snapshot: its format, the fold, the upcasters, and the fields of a state."""
