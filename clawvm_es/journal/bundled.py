"""Lines of a bundle: the format that `history.bundle` writes, and the reading of events and bodies from it."""

from __future__ import annotations

import base64
import binascii
import struct
from typing import Annotated, Any, Final, TypeAlias, TypeVar

import msgspec

from clawvm_es.errors import ClawVMError, UnreadableInput
from clawvm_es.journal.chain import row_hash
from clawvm_es.journal.codec import decode
from clawvm_es.journal.ports import Recorded
from clawvm_es.limits import INTEGER_MAX
from clawvm_es.model.events import KINDS

FORMAT: Final = "clawvm-bundle"
VERSION: Final = 1
FIRST_BYTES: Final = b'{"format":"clawvm-bundle",'
"""First bytes of every bundle."""
EVENT: Final = b'{"at":'
COMMITMENT: Final = b'{"body":'
"""First bytes of the lines of events and of bodies: their keys are sorted."""
AGAIN: Final = "get the bundle again from whoever made it"

Place: TypeAlias = Annotated[int, msgspec.Meta(ge=-INTEGER_MAX, le=INTEGER_MAX)]
"""A version of a stream."""
_T = TypeVar("_T")


class Listed(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A stream and its versions, as the header lists them."""

    session_id: str
    first: Place
    last: Place


class Header(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The first line."""

    line: str
    format: str
    version: int
    journal_id: str
    streams: list[Listed]


class Line(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One event, every column of it."""

    line: str
    seq: int
    session_id: str
    version: int
    turn: int
    kind: str
    type: str
    schema_version: int
    at: int
    principal: str
    cause: int | None
    idempotency_key: str | None
    data: str
    prev_hash: str
    hash: str


class Commitment(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A salt, and its body as Base64; None if only the salt is kept."""

    line: str
    commitment: str
    salt: str
    body: str | None


_header = msgspec.json.Decoder(Header)
_event = msgspec.json.Decoder(Line)
_any = msgspec.json.Decoder(dict[str, Any])
_commitment = msgspec.json.Decoder(Commitment)


def header_of(first_line: bytes, name: str) -> Header:
    """The first line of a bundle; raises `UnreadableInput`, also for an unknown version."""
    version = fields_of(first_line, name, 1).get("version")
    if isinstance(version, int) and version > VERSION:
        raise UnreadableInput(
            f"{name}: line 1: $.version: written by a newer version of this program ({version}, known: {VERSION})",
            hint="upgrade clawvm-es",
        )
    return _decoded(_header, first_line, name, 1)


def line_of(raw: bytes, name: str, number: int) -> Line:
    """The line of an event; raises `UnreadableInput`."""
    return _decoded(_event, raw, name, number)


def body_of(raw: bytes, name: str, number: int) -> tuple[str, bytes, bytes | None]:
    """Commitment, salt and body (None: only the salt is kept) of a line; raises `UnreadableInput`."""
    line = _decoded(_commitment, raw, name, number)
    try:
        salt = bytes.fromhex(line.salt)
        return line.commitment, salt, None if line.body is None else base64.b64decode(line.body, validate=True)
    except (ValueError, binascii.Error) as error:
        raise UnreadableInput(f"{name}: line {number}: {error}", hint=AGAIN) from error


def fields_of(raw: bytes, name: str, number: int) -> dict[str, Any]:
    """Any line; raises `UnreadableInput`."""
    return _decoded(_any, raw, name, number)


def row_of(line: Line, where: str) -> Recorded:
    """An event as a log stores it; raises `UnreadableInput` if its hash does not match its cells."""
    raw = line.data.encode()
    try:
        data = decode(line.type, line.schema_version, raw, where=where)
        before, hash_ = bytes.fromhex(line.prev_hash), bytes.fromhex(line.hash)
        stamps = (line.type, line.schema_version, line.at, line.principal, line.cause, line.idempotency_key)
        place = (line.version, line.turn, line.kind, *stamps)
        row = Recorded(line.seq, line.session_id, *place, raw, before, hash_, data)
        found = row_hash(row)
    except ClawVMError as error:
        raise UnreadableInput(error.message, hint=error.hint or AGAIN) from error
    except (ValueError, struct.error) as error:
        raise UnreadableInput(f"{where}: {error}", hint=AGAIN) from error
    if found != hash_ or KINDS[line.type] != line.kind:
        raise UnreadableInput(
            f"{where}: $.hash: is not that of event {line.version} of {line.session_id}", hint=AGAIN
        )
    return row


def _decoded(decoder: msgspec.json.Decoder[_T], raw: bytes, name: str, number: int) -> _T:
    return decoded(decoder, raw, name, number, AGAIN)


def decoded(decoder: msgspec.json.Decoder[_T], raw: bytes, name: str, number: int, hint: str) -> _T:
    """One decoded line of a file; raises `UnreadableInput` with line and path."""
    try:
        return decoder.decode(raw)
    except msgspec.ValidationError as error:
        raise UnreadableInput(f"{name}: line {number}: {error}", hint=hint) from None
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise UnreadableInput(f"{name}: line {number}: not JSON, or cut: {error}", hint=hint) from None
    except RecursionError:
        raise UnreadableInput(f"{name}: line {number}: nested too deep", hint=hint) from None
