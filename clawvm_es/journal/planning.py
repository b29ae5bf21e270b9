"""The plan of an append, before anything is written: the new events, and their rows.

All logs use these functions; logs differ only in how they store rows.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Final, TypeAlias

import msgspec

from clawvm_es.errors import IdempotencyConflict, JournalDamaged, UsageError, VersionConflict
from clawvm_es.journal.admission import admit, check_text, odd_time
from clawvm_es.journal.chain import GENESIS, chained, shared
from clawvm_es.journal.codec import encode
from clawvm_es.journal.ports import Expected, ExpectedVersion, NewEvent, Recorded
from clawvm_es.limits import INTEGER_MAX
from clawvm_es.model.events import EVENT_TYPES, KINDS, Event, SessionForked

Spot: TypeAlias = tuple[int, int, bytes]
"""Version, seq and hash of a stream's last event."""
Row: TypeAlias = tuple[int, str, int, int, str, str, int, int, str, int | None, str | None, str, bytes, bytes]
"""An event as it is stored, in the order of `COLUMNS`."""
COLUMNS: Final = (
    "seq", "session_id", "version", "turn", "kind", "type", "schema_version", "at", "principal", "cause",
    "idempotency_key", "data", "prev_hash", "hash",
)  # fmt: skip
"""The columns of a `Row`, in order; the hash covers all but the first and the last."""

_META: Final = {cls: (KINDS[name], name, cls.SCHEMA_VERSION) for name, cls in EVENT_TYPES.items()}
_SHARED_KEPT: Final = 512
_Shared: TypeAlias = tuple[str, str, int, bytes, bytes]
"""Kind, type and schema version of events of a class and principal; the lengths and texts that their hashes share."""


class Tip(msgspec.Struct, frozen=True):
    """Place of a stream's next event: the version and hash that it follows."""

    version: int
    hash: bytes


class Plan(msgspec.Struct, frozen=True):
    """An append that may be made: the events at the indexes `kept` are new, and the first of them goes to `tip`."""

    session_id: str
    tip: Tip
    events: Sequence[NewEvent]
    kept: Sequence[int]

    def rows(self, last_seq: int) -> list[Row]:
        """The rows to write after the log's event `last_seq`; raises as `stamp` does."""
        return stamp(self.session_id, self.tip, last_seq, self.events, self.kept)


def plan(
    session_id: str,
    events: Sequence[NewEvent],
    head: Spot | None,
    expected: ExpectedVersion,
    prev_hash: bytes | None,
    *,
    known: Callable[[str, Sequence[str]], Mapping[str, Recorded]],
    same: Callable[[bytes, bytes], bool],
    hash_at: Callable[[str, int], bytes | None],
) -> Plan | None:
    """Plan an append after `head`; None if all of its events are already recorded.

    Keys are checked before versions: a recorded input is no conflict, whatever version was expected. `known` returns
    the recorded inputs of a stream under some keys; `same` and `hash_at` are as for `new_events` and `tip_of`, whose
    errors it raises.
    """
    kept: Sequence[int] = range(len(events))
    if keys := keys_of(events):
        kept = new_events(session_id, events, known(session_id, keys), same)
    if not kept:
        if head is None:
            raise UsageError(f"session {session_id}: nothing to append, and there is no such stream")
        return None
    check_expected(session_id, head, expected)
    return Plan(session_id, tip_of(session_id, head, events[kept[0]].data, prev_hash, hash_at), events, kept)


def keys_of(events: Sequence[NewEvent]) -> list[str]:
    """The idempotency keys of a batch; raises `UsageError` for a key on a decision, and for an invalid key."""
    keyed = [event for event in events if event.idempotency_key is not None]
    for event in keyed:
        if KINDS[event.data.TYPE] != "input":
            raise UsageError(f"{event.data.TYPE} has an idempotency key; only inputs may have one")
        _encoded("idempotency key", event.idempotency_key)
    return [str(event.idempotency_key) for event in keyed]


def new_events(
    session_id: str,
    events: Sequence[NewEvent],
    known: Mapping[str, Recorded],
    same: Callable[[bytes, bytes], bool],
) -> list[int]:
    """Indexes of the events whose groups are not recorded yet.

    `known` are the recorded inputs by key, `same` compares canonical data up to commitments. Each input begins
    a group. Raises `IdempotencyConflict` for a known key with another type or other data.
    """
    first = {key: (recorded.type, encode(recorded.data)) for key, recorded in known.items()}
    batch: dict[str, Event] = {}  # first input under each key that is new
    kept: list[int] = []
    leaving = False
    for index, event in enumerate(events):
        key, data = event.idempotency_key, event.data
        if key is not None and key in batch:
            first[key] = (batch[key].TYPE, encode(batch[key]))
        if key is not None and key in first:
            type_, raw = first[key]
            if type_ != data.TYPE or not same(raw, encode(data)):
                raise IdempotencyConflict(
                    f"session {session_id}: key {key!r} came with a {type_} before and with another {data.TYPE} now",
                    hint="use a new key for a new input",
                )
            leaving = True
        elif KINDS[data.TYPE] == "input":
            leaving = False
            if key is not None:
                batch[key] = data
        if not leaving:
            kept.append(index)
    return kept


def check_expected(session_id: str, head: Spot | None, expected: ExpectedVersion) -> None:
    """Raise `VersionConflict` unless the stream is where the caller expects it (version 0: there is none)."""
    if expected is Expected.ANY:
        return
    version = 0 if head is None else head[0]
    if expected is Expected.NO_STREAM:
        good, wanted = head is None, "no stream"
    elif expected is Expected.STREAM_EXISTS:
        good, wanted = head is not None, "a stream"
    else:
        good, wanted = version == expected, f"version {expected}"
    if not good:
        raise VersionConflict(
            f"session {session_id}: expected {wanted}, found {'version ' + str(version) if head else 'no stream'}",
            hint="read what was appended since, and decide again",
        )


def tip_of(
    session_id: str,
    head: Spot | None,
    first: Event,
    prev_hash: bytes | None,
    hash_at: Callable[[str, int], bytes | None],
) -> Tip:
    """Return the place of the next event: after the head; for a new stream, at its start or at its fork.

    `hash_at` returns the hash of an event by stream and version. Raises `VersionConflict` if a fork's parent event is
    not in this log, or if `prev_hash` is given and differs from the hash that the event would follow.
    """
    if head is not None:
        tip = Tip(head[0], head[2])
    elif isinstance(first, SessionForked):
        parent = hash_at(first.parent, first.parent_version)
        if parent is None or parent.hex() != first.parent_hash:
            raise VersionConflict(
                f"session {session_id}: its parent {first.parent} has no event {first.parent_version} "
                f"with hash {first.parent_hash}"
            )
        tip = Tip(first.parent_version, parent)
    else:
        tip = Tip(0, GENESIS)
    if head is None:
        check_text("session id", session_id)
    if prev_hash is not None and prev_hash != tip.hash:
        raise VersionConflict(f"session {session_id}: expected to follow {prev_hash.hex()}, found {tip.hash.hex()}")
    return tip


def stamp(session_id: str, tip: Tip, last_seq: int, events: Sequence[NewEvent], kept: Sequence[int]) -> list[Row]:
    """The rows of the events at the indexes `kept`: numbered, encoded and chained.

    A decision without a cause is caused by the last input before it in the batch. A cause above the tip is given
    as if no event were left out, and is renumbered with its event. Raises `UsageError` if a cause is not before
    its event, `NotCanonical`, and `JournalDamaged` if no number is left for another event.
    """
    rows: list[Row] = []
    session = id_bytes(session_id)
    if last_seq + len(kept) > INTEGER_MAX:
        raise JournalDamaged(f"the last event has seq {last_seq}: no number is left for another")
    seq, version, prev_hash, base = last_seq, tip.version, tip.hash, tip.version
    moved = None if len(kept) == len(events) else {base + 1 + i: base + 1 + n for n, i in enumerate(kept)}
    input_version: int | None = None
    checked_at: object = events  # no time
    for event in events if moved is None else [events[index] for index in kept]:
        data, at_us, principal, key, cause = (
            event.data,
            event.at_us,
            event.principal,
            event.idempotency_key,
            event.cause,
        )
        try:
            kind, type_, schema_version, lengths, texts = _shared(session, data.__class__, principal)
        except TypeError:  # a principal that cannot be looked up is no text
            check_text("principal", principal)
            raise
        seq += 1
        version += 1
        if cause is not None:
            if moved is not None and cause > base:
                cause = moved.get(cause, version)
            if not 0 < cause < version:
                raise UsageError(f"session {session_id}: {type_} would be version {version}, caused by {event.cause}")
        if kind == "input":
            input_version = version
            raw = event.raw or admit(data)
        else:
            raw = event.raw or encode(data)
            if cause is None:
                cause = input_version
        if at_us is not checked_at:
            _check_time(type_, at_us)
            checked_at = at_us
        try:
            hash_ = chained(
                version,
                event.turn,
                schema_version,
                at_us,
                cause,
                None if key is None else _key_bytes(key),
                raw,
                prev_hash,
                lengths,
                texts,
            )
        except (struct.error, UnicodeEncodeError) as error:
            raise UsageError(f"session {session_id}: {type_} has a column that cannot be stored: {error}") from error
        rows.append(
            (seq, session_id, version, event.turn, kind, type_, schema_version, at_us, principal, cause,
             key, raw.decode(), prev_hash, hash_)
        )  # fmt: skip
        prev_hash = hash_
    return rows


@lru_cache(maxsize=_SHARED_KEPT)
def _shared(session: bytes, cls: type[Event], principal: str) -> _Shared:
    """The cells, lengths and texts that events of a class and a principal share; raises `UsageError`."""
    check_text("principal", principal)
    kind, type_, schema_version = _META[cls]
    return kind, type_, schema_version, *shared(session, kind.encode(), type_.encode(), principal.encode())


def _check_time(type_: str, at_us: int) -> None:
    """Raise `UsageError` for a time that no event can have."""
    odd = odd_time(at_us)
    if odd is not None:
        raise UsageError(f"{type_}: at: {odd}")


def _key_bytes(key: str) -> bytes:
    """UTF-8 of an idempotency key; raises `UsageError` for what can be none."""
    check_text("idempotency key", key)
    return key.encode()


def id_bytes(session_id: str) -> bytes:
    """UTF-8 of a session id; raises `UsageError` for an empty id, and for a value that is no text."""
    encoded = _encoded("session id", session_id)
    if not encoded:
        raise UsageError("a session id must not be empty")
    return encoded


def _encoded(what: str, value: object) -> bytes:
    """UTF-8 of a text; raises `UsageError` for any other value."""
    try:
        return str(value).encode()
    except UnicodeEncodeError as error:
        raise UsageError(f"{what} {value!r} is no valid text") from error
