"""Check a clawvm bundle against a public key: every byte, chain, commitment, proof and signature.

    python -m clawvm_es.verify_bundle BUNDLE --key anchor.key.pub

Needs nothing but Python's standard library (3.11 or later), so this file also runs alone, and shares no code with
the program that wrote the bundle. The format is described in clawvm_es/history/bundle.py. Exit codes: 0 all of it
holds; 1 something does not; 2 wrong usage or an unreadable file. Memory: 72 bytes an event, and the names of
commitments.
"""

from __future__ import annotations

import argparse
import base64
import binascii
import hashlib
import hmac
import json
import re
import struct
import sys
import time
from array import array
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, NoReturn


class Bad(Exception):
    """The bundle, or its signature, is not what it should be."""


class Unreadable(Exception):
    """The key file is no key file."""


# ------------------------------------------------------------------------- Ed25519 (RFC 8032 §5.1), checking only

P = 2**255 - 19
ORDER = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, -1, P) % P
Point = tuple[int, int, int, int]  # extended homogeneous coordinates X, Y, Z, T
ZERO: Point = (0, 1, 1, 0)


def add(a: Point, b: Point) -> Point:
    """The sum of two points (§5.1.4)."""
    e, f = (a[1] - a[0]) * (b[1] - b[0]) % P, (a[1] + a[0]) * (b[1] + b[0]) % P
    c, d = 2 * a[3] * b[3] * D % P, 2 * a[2] * b[2] % P
    e, f, g, h = f - e, d - c, d + c, f + e
    return (e * f % P, g * h % P, f * g % P, e * h % P)


def times(scalar: int, point: Point) -> Point:
    """A multiple of a point."""
    total = ZERO
    while scalar:
        if scalar & 1:
            total = add(total, point)
        point = add(point, point)
        scalar >>= 1
    return total


def decode_point(raw: bytes) -> Point | None:
    """The point encoded in 32 bytes (§5.1.3); None if there is none, or the encoding is not canonical."""
    number = int.from_bytes(raw, "little")
    sign, y = number >> 255, number & (1 << 255) - 1
    if y >= P:
        return None
    square = (y * y - 1) * pow(D * y * y + 1, -1, P) % P
    x = pow(square, (P + 3) // 8, P)
    if (x * x - square) % P:
        x = x * pow(2, (P - 1) // 4, P) % P
    if (x * x - square) % P or (x == 0 and sign):
        return None
    x = P - x if x & 1 != sign else x
    return (x, y, 1, x * y % P)


def encode_point(point: Point) -> bytes:
    """Return the encoding of a point (§5.1.2)."""
    inverse = pow(point[2], -1, P)
    x, y = point[0] * inverse % P, point[1] * inverse % P
    return (y | (x & 1) << 255).to_bytes(32, "little")


BASE_Y = 4 * pow(5, -1, P) % P
BASE = decode_point(BASE_Y.to_bytes(32, "little"))
assert BASE is not None


def ed25519_verify(public: bytes, message: bytes, signature: bytes) -> bool:
    """Tell whether `signature` is the key's over `message` (§5.1.7, without the cofactor, as OpenSSL checks it)."""
    key = decode_point(public) if len(public) == 32 else None
    if key is None or len(signature) != 64 or BASE is None:
        return False
    s = int.from_bytes(signature[32:], "little")
    if s >= ORDER:
        return False
    k = int.from_bytes(hashlib.sha512(signature[:32] + public + message).digest(), "little") % ORDER
    minus_key = (P - key[0], key[1], key[2], P - key[3])
    return encode_point(add(times(s, BASE), times(k, minus_key))) == signature[:32]


# ------------------------------------------------------------------------------ keys, notes, proofs (C2SP, RFC 6962)


def read_key(path: str, now_s: float) -> tuple[str, bytes]:
    """Name and bytes of the public key in a file; raises `Unreadable`, and `Bad` where it is no longer good."""
    with open(path, encoding="utf-8", errors="replace") as file:
        lines = file.read(4_096).splitlines()
    try:
        name, key_id, coded = lines[0].split("+", 2)
        blob = base64.b64decode(coded, validate=True)
        until = datetime.strptime(lines[1], "not_after %Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
        if len(lines) != 2 or len(blob) != 33 or blob[0] != 1 or key_id != id_of(name, blob[1:]).hex():
            raise ValueError
    except (ValueError, IndexError, binascii.Error):
        raise Unreadable(f"{path} is no public key") from None
    if now_s > until.timestamp():
        raise Bad(f"the key {name} was good until {until:%Y-%m-%dT%H:%M:%SZ}")
    return name, blob[1:]


def id_of(name: str, public: bytes) -> bytes:
    """The 4 bytes that name a key in a note."""
    return hashlib.sha256(name.encode() + b"\n\1" + public).digest()[:4]


def open_note(note: str, name: str, public: bytes) -> tuple[str, int, bytes]:
    """Origin, size and root of a checkpoint signed by the key and nobody else; every byte is accounted for."""
    text, _, line = note.rpartition("\n\n")
    fields = text.split("\n")
    coded = line.removeprefix(f"\u2014 {name} ")
    require(len(fields) == 3 and line == f"\u2014 {name} {coded}", "the checkpoint is not signed by this key alone")
    require(coded.endswith("\n"), "the checkpoint does not end in a newline")
    blob = from_base64(coded[:-1], "signature")
    require(blob[:4] == id_of(name, public), "the checkpoint is signed by another key of this name")
    require(ed25519_verify(public, (text + "\n").encode(), blob[4:]), "the signature of the checkpoint is wrong")
    require(re.fullmatch("0|[1-9][0-9]{0,15}", fields[1]) is not None, "the checkpoint's size is no number")
    root = from_base64(fields[2], "root")
    require(len(root) == 32 and fields[0] != "", "the checkpoint has no origin or no root")
    return fields[0], int(fields[1]), root


def included(leaf: bytes, index: int, size: int, proof: list[bytes], root: bytes) -> bool:
    """Tell whether leaf `index` of the tree is `leaf` (RFC 9162 §2.1.3.2)."""
    if not 0 <= index < size:
        return False
    node, last, computed = index, size - 1, hashlib.sha256(b"\0" + leaf).digest()
    for sibling in proof:
        if last == 0:
            return False
        if node & 1 or node == last:
            computed = hashlib.sha256(b"\1" + sibling + computed).digest()
            while node and not node & 1:
                node, last = node >> 1, last >> 1
        else:
            computed = hashlib.sha256(b"\1" + computed + sibling).digest()
        node, last = node >> 1, last >> 1
    return last == 0 and computed == root


def root_from(size: int, indices: Sequence[int], leaves: bytes | bytearray, rest: Iterator[bytes]) -> bytes:
    """The root of a tree (RFC 6962 §2.1) from some of its leaves and the largest subtrees without them."""

    def fold(low: int, high: int, first: int, last: int) -> bytes:
        if first == last:
            node = next(rest, None)
            require(node is not None, "nodes of the tree are missing")
            return node or b""
        if high - low == 1:
            return hashlib.sha256(b"\0" + leaves[32 * first : 32 * first + 32]).digest()
        middle = low + (1 << (high - low - 1).bit_length() - 1)
        split = bisect_left(indices, middle, first, last)
        pair = fold(low, middle, first, split) + fold(middle, high, split, last)
        return hashlib.sha256(b"\1" + pair).digest()

    return fold(0, size, 0, len(indices))


# ------------------------------------------------------------------------------------------------- lines and values

NUMBER, TEXT, MAYBE_NUMBER, MAYBE_TEXT, LIST = (int,), (str,), (int, type(None)), (str, type(None)), (list,)
Types = tuple[type, ...]
STREAM: dict[str, Types] = {"session_id": TEXT, "first": NUMBER, "last": NUMBER}
PROOF: dict[str, Types] = {"session_id": TEXT, "seq": NUMBER, "proof": LIST}
FIELDS: dict[str, dict[str, Types]] = {
    "header": {"format": TEXT, "version": NUMBER, "journal_id": TEXT, "streams": LIST},
    "event": {
        "seq": NUMBER, "session_id": TEXT, "version": NUMBER, "turn": NUMBER, "kind": TEXT, "type": TEXT,
        "schema_version": NUMBER, "at": NUMBER, "principal": TEXT, "cause": MAYBE_NUMBER,
        "idempotency_key": MAYBE_TEXT, "data": TEXT, "prev_hash": TEXT, "hash": TEXT,
    },
    "commitment": {"commitment": TEXT, "salt": TEXT, "body": MAYBE_TEXT},
    "end": {"sha256": TEXT, "checkpoint": TEXT, "inclusion": LIST, "rest": LIST},
}  # fmt: skip
ORDER_OF_LINES = ("header", "event", "commitment", "end")
NAMED = re.compile(
    rb'"(?:arguments|body|call_id|error|field_name|fixed|folder|key|model_name|name|native|prompt|provider|query|result'
    rb'|signature_key|slot_name|source|thinking|validator|value)":"([0-9a-f]{64})"'
)
"""Pattern of commitments in the data of inputs."""
SEALING = "prompt_rendered"
"""The only event whose commitment may have a salt and no body: a prompt can be rendered again."""
HEADER = struct.Struct(">20sqqqqq?iiiiii32s")


def require(holds: bool, otherwise: str) -> None:
    """Raise `Bad` unless something holds."""
    if not holds:
        raise Bad(otherwise)


def refuse_constant(name: str) -> NoReturn:
    """JSON has no NaN."""
    raise ValueError(name)


def parse(raw: bytes) -> Any:
    """The JSON value of a line or of data, which must be written canonically."""
    try:
        value = json.loads(raw.decode(), parse_constant=refuse_constant)
        again = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    except (ValueError, RecursionError) as error:
        raise Bad(f"no JSON: {error}") from None
    require(again == raw, "not canonical JSON")
    return value


def check_fields(value: Any, fields: dict[str, Types]) -> None:
    """Check that there are exactly these fields, each of its type."""
    require(type(value) is dict and value.keys() == fields.keys(), "has other fields than it should")
    for name, types in fields.items():
        require(type(value[name]) in types, f"{name} is of another type")


def from_hex(text: Any, what: str, size: int = 32) -> bytes:
    """The bytes of lower-case hex digits."""
    require(type(text) is str and re.fullmatch(f"[0-9a-f]{{{2 * size}}}", text) is not None, f"{what} is no hash")
    return bytes.fromhex(text)


def from_base64(text: str, what: str) -> bytes:
    """The bytes of base64 text in its canonical encoding."""
    try:
        blob = base64.b64decode(text.encode(), validate=True)
    except (ValueError, binascii.Error):
        blob = None
    require(blob is not None and base64.b64encode(blob).decode() == text, f"{what} is no base64")
    return blob or b""


def text_in(content: dict[str, Any], name: str) -> str:
    """A text of an event's data."""
    value = content.get(name)
    require(type(value) is str, f"has no text {name}")
    return str(value)


def number_in(content: dict[str, Any], name: str) -> int:
    """A number of an event's data."""
    value = content.get(name)
    require(type(value) is int, f"has no number {name}")
    return int(value or 0)


def event_hash(event: dict[str, Any]) -> bytes:
    """SHA-256 over the header of numbers and lengths, then the texts (LAW-CHAIN-1 of the journal)."""
    session, kind, type_, principal, data = (
        event[name].encode() for name in ("session_id", "kind", "type", "principal", "data")
    )
    key = None if event["idempotency_key"] is None else event["idempotency_key"].encode()
    cause = event["cause"]
    numbers = (event["version"], event["turn"], event["schema_version"], event["at"])
    lengths = (len(session), len(kind), len(type_), len(principal), -1 if key is None else len(key), len(data))
    prev_hash = from_hex(event["prev_hash"], "prev_hash")
    try:
        head = HEADER.pack(
            b"clawvm-es event 1\0\0\0",
            *numbers,
            0 if cause is None else cause,
            cause is not None,
            *lengths,
            prev_hash,
        )
    except struct.error:
        raise Bad("a number is too large") from None
    return hashlib.sha256(b"".join((head, session, kind, type_, principal, key or b"", data))).digest()


# ------------------------------------------------------------------------------------------------------- the bundle


class Stream:
    """The hashes of one stream's events, one after the other."""

    def __init__(self, first: int, last: int) -> None:
        self.first, self.last, self.seq = first, last, 0
        self.hashes = bytearray()

    def next_version(self) -> int:
        """The version that the next event must have."""
        return self.first + len(self.hashes) // 32

    def hash_at(self, version: int) -> bytes:
        """The hash of an event that was seen; empty for others."""
        at = 32 * (version - self.first)
        return bytes(self.hashes[at : at + 32]) if at >= 0 else b""


class Verifier:
    """Takes the lines of a bundle in order; raises `Bad` at the first thing that is wrong."""

    def __init__(self, name: str, public: bytes) -> None:
        self.name, self.public = name, public
        self.sha256 = hashlib.sha256()
        self.stage = -1
        self.journal_id = ""
        self.seq = self.bodies = 0
        self.indices = array("q")  # of all events in the tree
        self.leaves = bytearray()  # their hashes
        self.streams: dict[str, Stream] = {}
        self.needed: dict[str, int] = {}  # scope → the version up to which sessions learned of it
        self.named: dict[str, bool] = {}  # commitment → whether only prompts name it
        self.erased: set[str] = set()
        self.commitment = ""

    def take(self, raw: bytes) -> None:
        """Check one line, without its newline."""
        value = parse(raw)
        kind = text_in(value, "line") if type(value) is dict else ""
        require(kind in FIELDS, "of no known kind")
        stage = ORDER_OF_LINES.index(kind)
        require(stage == self.stage + 1 or (stage == self.stage and stage in (1, 2)) or (self.stage, stage) == (1, 3),
                f"a line {kind} cannot stand here")  # fmt: skip
        self.stage = stage
        del value["line"]
        check_fields(value, FIELDS[kind])
        getattr(self, f"take_{kind}")(value)
        self.sha256.update(raw + b"\n")

    def take_header(self, header: dict[str, Any]) -> None:
        """Format and streams."""
        require((header["format"], header["version"]) == ("clawvm-bundle", 1), "a format of another version")
        self.journal_id = header["journal_id"]
        last = None
        for stream in header["streams"]:
            check_fields(stream, STREAM)
            require(last is None or last < stream["session_id"], "streams are not in the order of their ids")
            require(1 <= stream["first"] <= stream["last"], "a stream has no events")
            last = stream["session_id"]
            self.streams[last] = Stream(stream["first"], stream["last"])
        require(bool(self.streams), "there are no streams")

    def take_event(self, event: dict[str, Any]) -> None:
        """Place, chain and what the event names."""
        stream = self.streams.get(event["session_id"])
        require(stream is not None, "an event of a stream that the header does not name")
        assert stream is not None
        version, data = event["version"], event["data"].encode()
        require(self.seq < event["seq"] < 2**53, "seq does not grow")
        require(version == stream.next_version() <= stream.last, "version is not the next of its stream")
        require(event["cause"] is None or 0 < event["cause"] < version, "cause is no earlier version")
        require(event["kind"] in ("input", "decision"), "kind is none")
        content = parse(data)
        require(type(content) is dict, "data is no object")
        prev_hash = stream.hash_at(version - 1) if version > stream.first else self.before_first(event, content)
        require(event["prev_hash"] == prev_hash.hex(), "prev_hash is not the hash of the event before")
        hash_ = event_hash(event)
        require(event["hash"] == hash_.hex(), "hash is not that of the other columns")
        stream.hashes += hash_
        self.seq = stream.seq = event["seq"]
        self.indices.append(event["seq"] - 1)
        self.leaves += hash_
        self.note(event, content, data)

    def before_first(self, event: dict[str, Any], content: dict[str, Any]) -> bytes:
        """Return the hash that a stream's first event chains to: nothing, or the parent that it was forked from."""
        if event["type"] != "session_forked":
            require(event["version"] == 1, "the stream does not begin with version 1")
            return bytes(32)
        parent, version = self.streams.get(text_in(content, "parent")), number_in(content, "parent_version")
        require(parent is not None, "the parent that it was forked from is missing")
        assert parent is not None
        require(version + 1 == event["version"], "the fork does not go on from its parent's version")
        hash_ = parent.hash_at(version)
        require(len(hash_) == 32 and content.get("parent_hash") == hash_.hex(), "the parent's event is another")
        return hash_

    def note(self, event: dict[str, Any], content: dict[str, Any], data: bytes) -> None:
        """Remember what an event requires of the rest of the bundle."""
        if event["type"] == "content_redacted":
            commitments = content.get("commitments", [])
            require(type(commitments) is list, "its data has no list commitments")
            self.erased.update(each for each in commitments if type(each) is str)
        elif event["kind"] == "input":
            sealing = event["type"] == SEALING
            for found in NAMED.findall(data):
                self.named[found.decode()] = sealing and self.named.get(found.decode(), True)
        if event["type"] == "scope_synced":
            scope = text_in(content, "scope")
            self.needed[scope] = max(self.needed.get(scope, 0), number_in(content, "to_version"))
        elif event["type"] == "scope_changed":
            writer, version = self.streams.get(text_in(content, "session_id")), number_in(content, "version")
            if writer is not None and writer.first <= version <= writer.last:
                require(content.get("hash") == writer.hash_at(version).hex(), "the commit that it names is another")

    def take_commitment(self, line: dict[str, Any]) -> None:
        """A body and its salt give the commitment, which an event names."""
        commitment = line["commitment"]
        require(self.commitment < commitment, "commitments are not in their order")
        self.commitment = commitment
        require(commitment in self.named, "no event names this commitment")
        salt = from_hex(line["salt"], "salt")
        sealed = self.named.pop(commitment)
        if line["body"] is None:
            require(sealed, "the body is missing, and it is not that of a prompt")
        else:
            body = from_base64(line["body"], "body")
            require(hmac.new(salt, body, hashlib.sha256).hexdigest() == commitment, "the body is another")
            self.bodies += 1

    def take_end(self, end: dict[str, Any]) -> None:
        """The digest of all lines before, completeness, signature and proofs."""
        require(end["sha256"] == self.sha256.hexdigest(), "sha256 is not that of the lines before")
        for session_id, stream in self.streams.items():
            require(stream.next_version() == stream.last + 1, f"events of {session_id!r} are missing at its end")
        for scope, version in self.needed.items():
            held = self.streams.get(scope)
            require(held is not None and held.last >= version, f"the scope {scope!r} is missing")
        missing = self.named.keys() - self.erased
        require(not missing, f"{len(missing)} commitments have no line, and no event says that they were erased")
        origin, size, root = open_note(end["checkpoint"], self.name, self.public)
        require(origin == self.journal_id, "the checkpoint is of another journal")
        require(self.seq <= size, "events are later than the checkpoint")
        rest = iter([from_hex(node, "a node of the tree") for node in end["rest"]])
        require(
            root_from(size, self.indices, self.leaves, rest) == root, "the events are not those of the signed tree"
        )
        require(next(rest, None) is None, "there are more nodes of the tree than needed")
        require(len(end["inclusion"]) == len(self.streams), "there is not one proof a stream")
        for proof, (session_id, stream) in zip(end["inclusion"], self.streams.items(), strict=True):
            check_fields(proof, PROOF)
            require((proof["session_id"], proof["seq"]) == (session_id, stream.seq), "the proof is of another event")
            nodes = [from_hex(node, "a node of the proof") for node in proof["proof"]]
            head = stream.hash_at(stream.last)
            require(included(head, stream.seq - 1, size, nodes, root), f"{session_id!r} is not in the signed tree")


def lines_of(file: Iterable[bytes]) -> Iterator[bytes]:
    """Lines without their newline, which each must have."""
    for line in file:
        require(line.endswith(b"\n"), "the file ends inside a line")
        yield line[:-1]


def verify(file: Iterable[bytes], name: str, public: bytes) -> Verifier:
    """Check a whole bundle; raises `Bad`, which names the line."""
    verifier = Verifier(name, public)
    for number, line in enumerate(lines_of(file), 1):
        try:
            verifier.take(line)
        except Bad as error:
            raise Bad(f"line {number}: {error}") from None
    require(verifier.stage == 3, "the bundle ends before its last line")
    return verifier


def visible(text: str) -> str:
    """A text without characters that a terminal obeys or hides: each is shown by its number."""
    return "".join(c if c.isprintable() and c not in "\u115f\u1160\u3164\uffa0" else ascii(c)[1:-1] for c in text)


def main() -> int:
    """Read the arguments, check, say what was found."""
    parser = argparse.ArgumentParser(description="Check a clawvm bundle against a public key.")
    parser.add_argument("bundle")
    parser.add_argument("--key", required=True, help="file of the signer's public key")
    arguments = parser.parse_args()
    try:
        name, public = read_key(arguments.key, time.time())
        with open(arguments.bundle, "rb") as file:
            found = verify(file, name, public)
    except Bad as error:
        print(visible(f"BAD {arguments.bundle}: {error}"))
        return 1
    except (OSError, Unreadable) as error:
        said = f"{error.filename}: {error.strerror}" if isinstance(error, OSError) and error.filename else error
        print(visible(f"verify_bundle: {said}"), file=sys.stderr)
        return 2
    held = f"journal {found.journal_id}, {len(found.indices)} events, {found.bodies} bodies, of"
    print(visible(f"good {arguments.bundle}: {held}"))
    for session_id, stream in found.streams.items():
        head = f"head {stream.hash_at(stream.last).hex()}"
        print(visible(f"  {session_id!r} versions {stream.first} to {stream.last}, {head}"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
