r"""Recordings: one session's events in a text file, to be compared with what today's `decide` makes of its inputs.

JSON lines, by convention in `NAME.clawvm.jsonl`. The first line is the header:

- `format`, `version`; `session_id`; `decider_version`, the version of the code that took the decisions;
- `streams`: the session's stream, after those of its fork parents, each with the last version that is its own;
- `decision_digest`, and `head`: the hash of the last event, to which the whole chain leads.

Then comes every event: `version, turn, type, schema_version, at, principal`, `cause` and `idempotency_key` if it
has them, and its canonical `data` as stored. A line does not depend on the lines before it, so that version
control shows what changed.

A recording holds commitments, no text: it cannot tell the content of a page, and leaks only the ids, keys and names
that the harness chose. It is all that re-deciding needs.

LAW-RECORDING-1: reading gives back what was written, hashes included; a file that was cut or edited is refused.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, groupby, pairwise, repeat
from typing import Annotated, Any, Final, TypeAlias, TypeVar

import attrs
import msgspec

from clawvm_es.core.evolve import apply
from clawvm_es.core.state import State
from clawvm_es.errors import ClawVMError, UnreadableInput, UsageError
from clawvm_es.journal import bundled
from clawvm_es.journal.chain import GENESIS, row_hash
from clawvm_es.journal.codec import decode
from clawvm_es.journal.ports import Recorded
from clawvm_es.limits import INTEGER_MAX
from clawvm_es.model.events import KINDS, Event, SessionOpened
from clawvm_es.projections.digest import decision_digest

FORMAT: Final = "clawvm-recording"
VERSION: Final = 1
"""Version of the format that is written, and the newest that is read."""
SUFFIX: Final = ".clawvm.jsonl"
"""Suffix of the name of a recording."""
AGAIN: Final = "restore it from version control, or export it again"

Hex: TypeAlias = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]
Place: TypeAlias = Annotated[int, msgspec.Meta(ge=-INTEGER_MAX, le=INTEGER_MAX)]
"""A version of a stream."""
T = TypeVar("T")


@attrs.frozen
class RecordedSession:
    """A session read from a file: its events with those of its fork parents, oldest first.

    `evidence` is True if the file is proof (a bundle) and must not be rewritten.
    """

    session_id: str
    rows: tuple[Recorded, ...] = attrs.field(repr=False)
    source: str
    decider_version: int
    evidence: bool = False

    def state(self, version: int | None = None) -> State:
        """The state after event `version`, by default the last."""
        state = State()
        for row in self.rows[:version]:
            apply(state, row.data)
        return state

    def of(self, *kinds: type[Event]) -> list[Event]:
        """All events of the given classes, in order."""
        return [row.data for row in self.rows if isinstance(row.data, kinds)]


class Stream(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One stream of a session's lineage, and the version of its last event."""

    session_id: str
    last: Place


class Header(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The first line."""

    format: str
    version: int
    session_id: str
    decider_version: Annotated[int, msgspec.Meta(ge=0, le=INTEGER_MAX)]
    streams: list[Stream]
    decision_digest: Hex
    head: Hex


class Line(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One event; session, kind and hashes follow from the rest of the file."""

    version: int
    turn: int
    type: str
    schema_version: int
    at: int
    principal: str
    data: msgspec.Raw
    cause: int | None = None
    idempotency_key: str | None = None


_encode = msgspec.json.Encoder().encode
_header = msgspec.json.Decoder(Header)
_line = msgspec.json.Decoder(Line)
_any = msgspec.json.Decoder(dict[str, Any])


# ------------------------------------------------------------------------------------------- writing


def write_recording(recorded: Iterable[Recorded], decider_version: int | None = None) -> Iterator[bytes]:
    """The lines of a recording of one session, including its fork parents (`read_session`).

    `decider_version` is by default the one under which the session was opened.
    """
    rows = tuple(recorded)
    if not rows or not isinstance(rows[0].data, SessionOpened):
        raise UsageError("a recording begins with session_opened", hint="give all events, those of fork parents too")
    streams = [
        Stream(session_id, [*part][-1].version) for session_id, part in groupby(rows, lambda row: row.session_id)
    ]
    yield _encode(
        Header(
            format=FORMAT,
            version=VERSION,
            session_id=streams[-1].session_id,
            decider_version=rows[0].data.decider_version if decider_version is None else decider_version,
            streams=streams,
            decision_digest=decision_digest(rows),
            head=rows[-1].hash.hex(),
        )
    ) + b"\n"  # fmt: skip
    for row in rows:
        yield _encode(
            Line(
                version=row.version,
                turn=row.turn,
                type=row.type,
                schema_version=row.schema_version,
                at=row.at_us,
                principal=row.principal,
                data=msgspec.Raw(row.raw),
                cause=row.cause,
                idempotency_key=row.idempotency_key,
            )
        ) + b"\n"  # fmt: skip


# ------------------------------------------------------------------------------------------- reading


def is_recording(first_line: bytes) -> bool:
    """Tell whether a file with this first line claims to be a recording, of any version."""
    try:
        return _any.decode(first_line).get("format") == FORMAT
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return False


def read_header(first_line: bytes, name: str) -> Header:
    """The header of a recording called `name`; raises `UnreadableInput`."""
    if not is_recording(first_line):
        raise UnreadableInput(f"{name}: line 1: no header of a {FORMAT}", hint=AGAIN)
    version = _any.decode(first_line).get("version")
    if isinstance(version, int) and version > VERSION:
        raise UnreadableInput(
            f"{name}: line 1: $.version: written by a newer version of this program ({version}, known: {VERSION})",
            hint="upgrade clawvm-es",
        )
    header = decoded(_header, first_line, name, 1)
    lasts = [0, *(stream.last for stream in header.streams)]
    if version != VERSION or not header.streams or header.streams[-1].session_id != header.session_id:
        raise UnreadableInput(f"{name}: line 1: the header does not fit together", hint=AGAIN)
    if any(after <= before for before, after in pairwise(lasts)):
        raise UnreadableInput(f"{name}: line 1: $.streams: versions must rise", hint=AGAIN)
    return header


def read_recording(raw: bytes, name: str) -> RecordedSession:
    """The session of a recording; raises `UnreadableInput`, which names the line and path of the problem."""
    lines = raw.removesuffix(b"\n").split(b"\n")
    header = read_header(lines[0], name)
    rows = tuple(_rows(header, lines[1:], name))
    last = header.streams[-1].last
    if len(rows) != last:
        raise UnreadableInput(f"{name}: cut after event {len(rows)} of {last}", hint=AGAIN)
    if rows[-1].hash.hex() != header.head or decision_digest(rows) != header.decision_digest:
        raise UnreadableInput(
            f"{name}: edited since it was written: its events chain to {rows[-1].hash.hex()[:16]}…, its header says "
            f"{header.head[:16]}…",
            hint=AGAIN,
        )
    return RecordedSession(header.session_id, rows, name, header.decider_version)


def _rows(header: Header, lines: Sequence[bytes], name: str) -> Iterator[Recorded]:
    """The events, chained; `seq`, which a recording does not know, is 0."""
    before = GENESIS
    owners = chain.from_iterable(_owners(header))
    for version, raw in enumerate(lines, 1):
        where = f"{name}: line {version + 1}"
        line = decoded(_line, raw, name, version + 1)
        if line.version != version:
            raise UnreadableInput(f"{where}: $.version: expected {version}, got {line.version}", hint=AGAIN)
        owner = next(owners, None)
        if owner is None:
            raise UnreadableInput(f"{where}: the header knows {version - 1} events", hint=AGAIN)
        row = _row(line, owner, before, where)
        before = row.hash
        yield row


def _owners(header: Header) -> Iterator[Iterator[str]]:
    """The stream of each event, in order."""
    before = 0
    for stream in header.streams:
        yield repeat(stream.session_id, stream.last - before)
        before = stream.last


def _row(line: Line, session_id: str, before: bytes, where: str) -> Recorded:
    raw = bytes(line.data)
    try:
        data = decode(line.type, line.schema_version, raw, where=where)
        stamps = (line.type, line.schema_version, line.at, line.principal, line.cause, line.idempotency_key)
        row = Recorded(0, session_id, line.version, line.turn, KINDS[line.type], *stamps, raw, before, b"", data)
        return row._replace(hash=row_hash(row))
    except ClawVMError as error:
        raise UnreadableInput(error.message, hint=error.hint or AGAIN) from error
    except (ValueError, struct.error) as error:  # a text that is none, a number that no column holds
        raise UnreadableInput(f"{where}: {error}", hint=AGAIN) from error


def decoded(decoder: msgspec.json.Decoder[T], raw: bytes, name: str, number: int) -> T:
    """One decoded line of a recording; raises `UnreadableInput` with line and path."""
    return bundled.decoded(decoder, raw, name, number, AGAIN)
