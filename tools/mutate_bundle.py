"""Change a good bundle in many ways, and tell whether `verify_bundle.py` rejects every one.

    python3 -I -S tools/mutate_bundle.py BUNDLE --key anchor.key.pub
    python3 -I -S tools/mutate_bundle.py BUNDLE --key anchor.key.pub --mutants 500 --seed 7 --json

Needs nothing but Python's standard library. Each mutant is checked by a fresh interpreter without packages
(`python -I -S clawvm_es/verify_bundle.py`), which must end with code 1 and say why on one line. Forgeries change a
field or a line and then work out the digest in the last line again. Exit codes: 0 the bundle is accepted and
all mutants are rejected; 1 not so; 2 wrong usage.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from random import Random
from typing import Any

VERIFIER = Path(__file__).resolve().parent.parent / "clawvm_es" / "verify_bundle.py"


def flipped(raw: bytes, random: Random) -> bytes:
    """One bit changed."""
    at = random.randrange(len(raw))
    return raw[:at] + bytes([raw[at] ^ 1 << random.randrange(8)]) + raw[at + 1 :]


def put_in(raw: bytes, random: Random) -> bytes:
    """One byte more."""
    at = random.randrange(len(raw))
    return raw[:at] + random.choice((b" ", b"0", b"\n", b"\0")) + raw[at:]


def cut(raw: bytes, random: Random) -> bytes:
    """The end is missing, inside a line or after one."""
    at = random.randrange(len(raw))
    return raw[: raw.find(b"\n", at) + 1] if random.randrange(2) and raw.find(b"\n", at) + 1 < len(raw) else raw[:at]


def swapped(raw: bytes, random: Random) -> bytes:
    """Two lines have changed places."""
    lines = raw.splitlines(keepends=True)
    one, other = random.sample(range(len(lines)), 2)
    lines[one], lines[other] = lines[other], lines[one]
    return b"".join(lines)


def doubled(raw: bytes, random: Random) -> bytes:
    """One line stands twice."""
    lines = raw.splitlines(keepends=True)
    lines.insert(random.randrange(len(lines)), random.choice(lines))
    return b"".join(lines)


def missing(raw: bytes, random: Random) -> bytes:
    """One line is gone."""
    lines = raw.splitlines(keepends=True)
    del lines[random.randrange(len(lines))]
    return b"".join(lines)


def forged(raw: bytes, random: Random) -> bytes:
    """A field or a line changed, and the digest in the last line made right."""
    values = [json.loads(line) for line in raw.splitlines()]
    while True:
        changed = forgery(values, random)
        if not undetectable(values, changed):
            return sealed_again(changed)


MUTATIONS: dict[str, Callable[[bytes, Random], bytes]] = {
    "one bit flipped": flipped,
    "one byte put in": put_in,
    "cut": cut,
    "two lines swapped": swapped,
    "a line doubled": doubled,
    "a line missing": missing,
    "forged, digest made right": forged,
}


def mutants(raw: bytes, count: int, random: Random) -> Iterator[tuple[str, bytes]]:
    """So many changed bundles, one kind of change after the other, none of them the bundle itself."""
    kinds = list(MUTATIONS.items())
    for number in range(count):
        kind, mutate = kinds[number % len(kinds)]
        changed = raw
        while changed == raw:
            changed = mutate(raw, random)
        yield kind, changed


def leaves(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The paths of all texts, numbers and nulls in a JSON value."""
    if isinstance(value, dict | list):
        for name, item in value.items() if isinstance(value, dict) else enumerate(value):
            yield from leaves(item, (*path, name))
    else:
        yield path


def forgery(values: list[Any], random: Random) -> list[Any]:
    """One field of one line changed to something of its kind, or a line gone, doubled or moved."""
    values = json.loads(json.dumps(values))
    place = random.randrange(len(values) - 1)
    match random.randrange(6):
        case 0:
            del values[place]
        case 1:
            values.insert(place, values[place])
        case 2:
            values[place], values[place + 1] = values[place + 1], values[place]
        case _:
            _change_a_field(values[place], random)
    return values


def _change_a_field(line: Any, random: Random) -> None:
    *path, name = random.choice(list(leaves(line)))
    for step in path:
        line = line[step]
    old = line[name]
    if isinstance(old, int):
        line[name] = old + random.choice((-1, 1))
    elif old is None:
        line[name] = random.choice((0, 1, "", "AAAA"))
    else:
        at = random.randrange(len(old) + 1)
        line[name] = random.choice((old[:at] + "0" + old[at + 1 :], old[1:], None, "\U0001f600"))


def sealed_again(values: list[Any]) -> bytes:
    """Lines written canonically, with the digest in the last one made right."""
    *body, end = values
    start = "".join(map(_line, body)).encode()
    if isinstance(end, dict) and "sha256" in end:
        end = {**end, "sha256": hashlib.sha256(start).hexdigest()}
    return start + _line(end).encode()


def _line(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False) + "\n"


def undetectable(old: list[Any], new: list[Any]) -> bool:
    """What nothing fixes: no change at all, or the salt of a prompt whose text is not kept."""
    if len(old) != len(new):
        return False
    differing = [(a, b) for a, b in zip(old, new, strict=True) if a != b]
    return all(a.get("body", "") is None and {**a, "salt": ""} == {**b, "salt": ""} for a, b in differing)


def verdict(raw: bytes, key: str, folder: str) -> tuple[int, str]:
    """Exit code and output of the verifier, in an interpreter without packages."""
    handle, path = tempfile.mkstemp(dir=folder, suffix=".bundle")
    with open(handle, "wb") as file:
        file.write(raw)
    command = [sys.executable, "-I", "-S", str(VERIFIER), path, "--key", key]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    os.unlink(path)
    return done.returncode, (done.stdout + done.stderr).replace(path, "BUNDLE").strip()


def rejected(code: int, said: str) -> bool:
    """Whether a mutant was rejected as it should be: code 1, one line."""
    return code == 1 and said.startswith("BAD ") and "\n" not in said


def main() -> int:
    """Read the arguments, mutate, print the table; return the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("bundle")
    parser.add_argument("--key", required=True, metavar="FILE", help="public key of the signer")
    parser.add_argument("--mutants", type=int, default=200, metavar="N", help="how many (default: 200)")
    parser.add_argument("--seed", type=int, default=1, metavar="N", help="the same seed makes the same (default: 1)")
    parser.add_argument("--json", dest="as_json", action="store_true", help="print one JSON document")
    options = parser.parse_args()
    try:
        raw = Path(options.bundle).read_bytes()
    except OSError as error:
        print(f"mutate_bundle: {error}", file=sys.stderr)
        return 2
    document = judge(raw, options.key, options.mutants, options.seed)
    print(json.dumps(document, indent=2) if options.as_json else as_text(document))
    return 0 if document["ok"] else 1


def judge(raw: bytes, key: str, count: int, seed: int) -> dict[str, Any]:
    """What the verifier says of the bundle and of its mutants."""
    with tempfile.TemporaryDirectory(prefix="clawvm-mutants-") as folder, ThreadPoolExecutor(os.cpu_count()) as pool:
        code, whole = verdict(raw, key, folder)
        if code != 0:
            return {"seed": seed, "ok": False, "accepted": False, "said": whole, "mutations": [], "not_rejected": []}
        made = list(mutants(raw, count, Random(seed)))
        found = list(pool.map(lambda mutant: verdict(mutant[1], key, folder), made))
    rows = {kind: {"mutation": kind, "mutants": 0, "rejected": 0, "example": ""} for kind, _ in made}
    for (kind, _), (code, said) in zip(made, found, strict=True):
        row: Any = rows[kind]
        row["mutants"] += 1
        row["rejected"] += rejected(code, said)
        row["example"] = row["example"] or said.removeprefix("BAD BUNDLE: ")
    bad = [f"mutant {n} ({made[n][0]}): code {f[0]}: {f[1]}" for n, f in enumerate(found) if not rejected(*f)]
    return {
        "seed": seed,
        "ok": not bad,
        "accepted": True,
        "said": whole.splitlines()[0],
        "mutations": list(rows.values()),
        "not_rejected": bad,
    }


def as_text(document: dict[str, Any]) -> str:
    """The table."""
    lines = [f"{'accepted' if document['accepted'] else 'NOT ACCEPTED'}: {document['said']}"]
    for row in document["mutations"]:
        lines.append(f"{row['mutation']:<26} {row['rejected']:>4} of {row['mutants']:>4} rejected   {row['example']}")
    total = sum(row["mutants"] for row in document["mutations"])
    caught = sum(row["rejected"] for row in document["mutations"])
    lines.append(f"{'all':<26} {caught:>4} of {total:>4} rejected   seed {document['seed']}")
    return "\n".join([*lines, *document["not_rejected"]])


if __name__ == "__main__":
    sys.exit(main())
