"""Files that verbs read beside a journal: bundles, recordings, traces, recorded sessions, notes and keys."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

from hostile.specimens import Specimens, Write

ENDINGS = {
    "bundle": ".clawvm.bundle",
    "recording": ".clawvm.jsonl",
    "trace": ".trace.jsonl",
    "session": ".jsonl",
    "checkpoint": ".checkpoint",
}
VALUES: tuple[Any, ...] = (
    None, True, {}, [], "", [{}], {"a": []}, 0, -1, 1.5, 2**53, 2**63, -(2**63), 10**400, "\0", "\u202e", "p.1.2",
    "\ud800", "x" * 100_000, "9" * 5_000, "\x1b[31m",
)  # fmt: skip
"""What is put in the place of a value."""
DEEP = "[" * 100_000 + "]" * 100_000


def dumped(value: Any) -> bytes:
    """Canonical JSON with a newline; surrogates and NaN are written as they are."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return text.encode("utf-8", "surrogatepass") + b"\n"


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The paths of everything in a JSON value."""
    if path:
        yield path
    if isinstance(value, dict | list):
        for name, item in value.items() if isinstance(value, dict) else enumerate(value):
            yield from places(item, (*path, name))


def mutated(raw: bytes, random: Random, count: int) -> list[Any]:
    """The lines of a file as JSON values, in which so many values are others."""
    lines = [json.loads(line) for line in raw.splitlines()]
    for _ in range(count):
        line = lines[random.randrange(len(lines))]
        path = random.choice([*places(line)])
        for step in path[:-1]:
            line = line[step]
        if random.randrange(6) == 0 and isinstance(line, dict):
            del line[path[-1]]
        else:
            line[path[-1]] = random.choice(VALUES)
    return lines


def sealed(lines: list[Any]) -> bytes:
    """A bundle's lines with the digest in the last one made right."""
    body = b"".join(map(dumped, lines[:-1]))
    end = lines[-1]
    return body + dumped({**end, "sha256": hashlib.sha256(body).hexdigest()} if isinstance(end, dict) else end)


def _changed(kind: str, change: Callable[[bytes, Random], bytes]) -> Write:
    def write(good: Specimens, place: Path, random: Random) -> None:
        place.write_bytes(change(getattr(good, kind).read_bytes(), random))

    return write


def _cut(raw: bytes, random: Random) -> bytes:
    return raw[: random.randrange(1, len(raw))]


def _flipped(raw: bytes, random: Random) -> bytes:
    at = random.randrange(len(raw))
    return raw[:at] + bytes([raw[at] ^ 1 << random.randrange(8)]) + raw[at + 1 :]


def _noise(raw: bytes, random: Random) -> bytes:
    at = random.randrange(len(raw))
    return raw[:at] + random.randbytes(200) + raw[at:]


def _values(raw: bytes, random: Random) -> bytes:
    return b"".join(map(dumped, mutated(raw, random, random.choice((1, 1, 3)))))


def _values_sealed(raw: bytes, random: Random) -> bytes:
    return sealed(mutated(raw, random, 1))


def _line(number: int, text: str) -> Callable[[bytes, Random], bytes]:
    """One line is another."""

    def change(raw: bytes, random: Random) -> bytes:
        lines = raw.splitlines()
        lines[number] = text.encode()
        return b"\n".join(lines) + b"\n"

    return change


def _header(change: Callable[[Any], None]) -> Callable[[bytes, Random], bytes]:
    """The first line of a recording or a bundle is changed, and the digest in the last made right."""

    def changed(raw: bytes, random: Random) -> bytes:
        lines = [json.loads(line) for line in raw.splitlines()]
        change(lines[0])
        return sealed(lines) if "line" in lines[-1] else b"".join(map(dumped, lines))

    return changed


def _last(value: int) -> Callable[[Any], None]:
    def change(header: Any) -> None:
        header["streams"][-1]["last"] = value

    return change


def _many_streams(header: Any) -> None:
    own = header["streams"][-1]
    header["streams"] = [{**own, "session_id": f"s{n:05}", "last": n + 1} for n in range(3_000)] + [own]


def forked(parents: list[tuple[str, str, int]]) -> Callable[[bytes, Random], bytes]:
    """A bundle whose streams are forks: each of (its id, its parent, the parent's version), with a right hash."""

    def change(raw: bytes, random: Random) -> bytes:
        lines = [json.loads(line) for line in raw.splitlines()]
        streams, events, hashes = [], [], {}
        for seq, (session_id, parent, version) in enumerate(parents, 1):
            before = hashes.get(parent, "0" * 64)
            data = {"parent": parent, "parent_hash": before, "parent_version": version}
            event = {
                "line": "event", "seq": seq, "session_id": session_id, "version": version + 1, "turn": 1,
                "kind": "input", "type": "session_forked", "schema_version": 3, "at": 1, "principal": "x",
                "cause": None, "idempotency_key": None, "data": dumped(data)[:-1].decode(), "prev_hash": before,
            }  # fmt: skip
            event["hash"] = hashes[session_id] = hash_of(event)
            events.append(event)
            streams.append({"session_id": session_id, "first": version + 1, "last": version + 1})
        streams.sort(key=lambda stream: str(stream["session_id"]))
        return sealed([{**lines[0], "streams": streams}, *events, lines[-1]])

    return change


def hash_of(event: dict[str, Any]) -> str:
    """The hash of an event as a bundle writes it."""
    from clawvm_es.journal.chain import event_hash

    names = ("session_id", "version", "turn", "kind", "type", "schema_version", "at", "principal")
    cells = [event[name].encode() if isinstance(event[name], str) else event[name] for name in names]
    return event_hash(*cells, None, None, event["data"].encode(), bytes.fromhex(event["prev_hash"])).hex()


_BUNDLES = {
    "fork of itself": forked([("a", "a", 1)]),
    "forks of each other": forked([("a", "b", 1), ("b", "a", 1)]),
    "forks in a ring": forked([("a", "c", 1), ("b", "a", 1), ("c", "b", 1)]),
    "chained forks": forked([(f"s{n:05}", f"s{n - 1:05}" if n else "none", n + 1) for n in range(3_000)]),
    "fork at a negative version": forked([("a", "b", -5)]),
    "fork at a huge version": forked([("a", "b", 2**53 - 1)]),
    "last beyond 64 bits": _header(_last(2**63)),
    "last of many digits": _header(_last(10**400)),
    "last negative": _header(_last(-1)),
    "streams of nobody": _header(lambda header: header.update(streams=[])),
    "many streams": _header(_many_streams),
}
_RECORDINGS = {
    "last beyond 64 bits": _header(_last(2**63)),
    "last of 63 bits": _header(_last(2**63 - 1)),
    "last of many digits": _header(_last(10**400)),
    "last negative": _header(_last(-1)),
    "no streams": _header(lambda header: header.update(streams=[])),
    "many streams": _header(_many_streams),
    "session id": _header(lambda header: header.update(session_id="\x1b[31m\0")),
    "decider version": _header(lambda header: header.update(decider_version=2**63)),
}
_NOTES = {
    "noise": lambda raw, random: random.randbytes(300),
    "empty": lambda raw, random: b"",
    "huge size": lambda raw, random: raw.replace(raw.split(b"\n")[1], b"9" * 5_000, 1),
    "negative size": lambda raw, random: raw.replace(raw.split(b"\n")[1], b"-1", 1),
    "size beyond": lambda raw, random: raw.replace(raw.split(b"\n")[1], b"9" * 15, 1),
    "size zero": lambda raw, random: raw.replace(raw.split(b"\n")[1], b"0", 1),
    "root": lambda raw, random: raw.replace(raw.split(b"\n")[2], b"AAAA", 1),
    "one line": lambda raw, random: raw.replace(b"\n", b" "),
    "large": lambda raw, random: raw + b"x" * 3_000_000,
}


def _cases() -> Iterator[tuple[str, str, str, Write]]:
    for kind in ("bundle", "recording", "trace", "session"):
        ending = ENDINGS[kind]
        for number in range(2):
            yield f"{kind} cut {number}", kind, ending, _changed(kind, _cut)
            yield f"{kind} flipped {number}", kind, ending, _changed(kind, _flipped)
            yield f"{kind} with noise {number}", kind, ending, _changed(kind, _noise)
        for number in range(16):
            yield f"{kind} values {number}", kind, ending, _changed(kind, _values)
        for number, name in ((0, "first"), (1, "second"), (-1, "last")):
            yield f"{kind} deep {name} line", kind, ending, _changed(kind, _line(number, DEEP))
            yield f"{kind} empty {name} line", kind, ending, _changed(kind, _line(number, "{}"))
            yield f"{kind} list as {name} line", kind, ending, _changed(kind, _line(number, "[[]]"))
            yield f"{kind} number as {name} line", kind, ending, _changed(kind, _line(number, "9" * 5_000))
    for number in range(20):
        yield f"bundle sealed values {number}", "bundle", ENDINGS["bundle"], _changed("bundle", _values_sealed)
    for name, change in _BUNDLES.items():
        yield f"bundle {name}", "bundle", ENDINGS["bundle"], _changed("bundle", change)
    for name, change in _RECORDINGS.items():
        yield f"recording {name}", "recording", ENDINGS["recording"], _changed("recording", change)
    for name, change in _NOTES.items():
        yield f"note {name}", "note", ENDINGS["checkpoint"], _changed("checkpoint", change)
    for name, change in _CHATS.items():
        yield f"chat {name}", "session", ".json", _changed("session", change)


def _chat(*messages: Any) -> Callable[[bytes, Random], bytes]:
    return lambda raw, random: dumped([*messages])


_CHATS = {
    "role a list": _chat({"role": "user", "content": "hi"}, {"role": [], "content": "x"}),
    "first role an object": _chat({"role": {}, "content": "hi"}),
    "content a number": _chat({"role": "user", "content": 5}, {"role": "assistant", "content": {"a": 1}}),
    "calls a text": _chat({"role": "user", "content": "hi"}, {"role": "assistant", "tool_calls": "x"}),
    "call of numbers": _chat(
        {"role": "user", "content": "hi"}, {"role": "assistant", "tool_calls": [5, {"function": 5}, {"id": {}}]}
    ),
    "arguments deep": _chat(
        {"role": "user", "content": "hi"},
        {"role": "assistant", "tool_calls": [{"id": "t", "function": {"name": "f", "arguments": DEEP}}]},
        {"role": "tool", "tool_call_id": "t", "content": DEEP},
    ),
    "surrogates": _chat({"role": "user", "content": "\ud800"}, {"role": "assistant", "content": "\udfff"}),
    "pi of wrong types": lambda raw, random: b"".join(
        map(dumped, [{"type": "session", "version": 3, "id": "s", "cwd": {}},
                     {"type": "message", "id": [], "parentId": {}, "message": {"role": "user", "content": 5}},
                     {"type": {}, "id": "x"}, {"type": "compaction", "id": "y", "parentId": "y", "summary": []}])
    ),
    "type an object": lambda raw, random: b"".join(
        (raw, dumped({"type": {}}), dumped({"type": "user", "message": {"content": [{"type": {}}]}}))
    ),
}  # fmt: skip
CASES = tuple(_cases())
