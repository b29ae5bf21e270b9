"""Signed notes and checkpoints as the C2SP specifies them (c2sp.org/signed-note, c2sp.org/tlog-checkpoint).

A note is text that ends in a newline, an empty line, and signature lines `— name base64(key id ‖ signature)`. A
checkpoint is a note whose text is three lines: origin, tree size, root in base64.

LAW-NOTE-1: a note is believed only if the given key signed it; if that key's line does not verify, the note is
refused. Lines of other keys (witnesses) are ignored.
"""

from __future__ import annotations

import base64
import binascii
import re
from typing import Final

import attrs

from clawvm_es.errors import AnchorRefused
from clawvm_es.journal.anchors.keys import PublicKey, SecretKey
from clawvm_es.journal.anchors.merkle import HASH_BYTES
from clawvm_es.limits import INTEGER_MAX

NOTE_BYTES_MAX: Final = 1 << 20
_DASH: Final = "\N{EM DASH} "
_KEY_ID_BYTES: Final = 4
_SIZE: Final = re.compile(r"0|[1-9][0-9]{0,15}")
_CONTROL: Final = re.compile(r"[\0-\x09\x0b-\x1f]")


@attrs.frozen
class Checkpoint:
    """State of a log: `origin` is the journal's id, `size` the number of events, `root` the root of their tree."""

    origin: str
    size: int
    root: bytes

    @property
    def text(self) -> str:
        """The text that is signed."""
        return f"{self.origin}\n{self.size}\n{base64.b64encode(self.root).decode()}\n"


def sign(checkpoint: Checkpoint, key: SecretKey) -> bytes:
    """The signed note of a checkpoint."""
    signature = base64.b64encode(key.public.key_id + key.sign(checkpoint.text.encode())).decode()
    return f"{checkpoint.text}\n{_DASH}{key.public.name} {signature}\n".encode()


def open_note(raw: bytes, key: PublicKey) -> Checkpoint:
    """The checkpoint in a note, if `key` signed it; raises `AnchorRefused`. The key's expiry is not checked."""
    text, lines = _split(raw)
    signed = False
    for name, key_id, signature in map(_signature, lines):
        if (name, key_id) == (key.name, key.key_id):
            if not key.verifies(signature, text.encode()):
                raise AnchorRefused("signature", f"the signature of the key {key.name} is wrong")
            signed = True
    if not signed:
        raise AnchorRefused("key", f"the checkpoint is not signed by the key {key.name} {key.key_id.hex()}")
    return _checkpoint(text)


def unverified(raw: bytes) -> Checkpoint:
    """The checkpoint in a note, by any signer; raises `AnchorRefused` if it is not a checkpoint."""
    text, lines = _split(raw)
    for line in lines:
        _signature(line)
    return _checkpoint(text)


def _split(raw: bytes) -> tuple[str, list[str]]:
    """A note's text with its last newline, and its signature lines."""
    try:
        note = raw.decode() if len(raw) <= NOTE_BYTES_MAX else ""
    except UnicodeDecodeError:
        note = ""
    text, gap, lines = note.rpartition("\n\n")
    if not gap or not lines.endswith("\n") or _CONTROL.search(note):
        raise AnchorRefused("note", "this is no signed note")
    return text + "\n", lines[:-1].split("\n")


def _signature(line: str) -> tuple[str, bytes, bytes]:
    """Name of the key, its id and the signature on one line."""
    name, _, coded = line.removeprefix(_DASH).partition(" ")
    blob = from_base64(coded)
    if not line.startswith(_DASH) or not name or blob is None or len(blob) <= _KEY_ID_BYTES:
        raise AnchorRefused("note", f"this is no signature line: {line[:60]!r}")
    return name, blob[:_KEY_ID_BYTES], blob[_KEY_ID_BYTES:]


def _checkpoint(text: str) -> Checkpoint:
    lines = text.split("\n")
    root = from_base64(lines[2]) if len(lines) == 4 else None
    if root is None or len(root) != HASH_BYTES or not lines[0] or not _SIZE.fullmatch(lines[1]):
        raise AnchorRefused("note", "its text is not origin, tree size and root")
    if int(lines[1]) > INTEGER_MAX:
        raise AnchorRefused("note", f"no log has {lines[1]} events")
    return Checkpoint(lines[0], int(lines[1]), root)


def from_base64(coded: str) -> bytes | None:
    """The bytes of base64 text; None unless the text is their canonical encoding."""
    try:
        blob = base64.b64decode(coded, validate=True)
    except (binascii.Error, ValueError):
        return None
    return blob if base64.b64encode(blob).decode() == coded else None
