"""Ed25519 keys in files, each with an expiry time; only the owner can read the secret key's file.

A file has two lines: the key, as Go's `sumdb/note` writes it (`PRIVATE+KEY+name+id+base64` and `name+id+base64`;
key id = first 4 bytes of SHA-256(name ‖ 0x0A ‖ 0x01 ‖ public key), per c2sp.org/signed-note), and `not_after` with a
time in UTC (ISO 8601, `Z`). Signatures come from the package `cryptography`, which is imported on first use.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
import re
import stat
from datetime import UTC, datetime
from typing import Final

import attrs

from clawvm_es import files
from clawvm_es.errors import UnreadableInput, UsageError

KEY_BYTES: Final = 32
_ED25519: Final = b"\1"
_SECRET: Final = "PRIVATE+KEY+"
_TIME: Final = "%Y-%m-%dT%H:%M:%SZ"
_NAME: Final = re.compile(r"[^\s+\0-\x1f\ud800-\udfff]+")
_FILE_BYTES_MAX: Final = 4_096
_DAY_S: Final = 86_400


@attrs.frozen
class PublicKey:
    """Public key that checks signatures: name, 32 bytes, and the last second (Unix time) of its validity."""

    name: str
    key: bytes
    not_after_s: int

    @property
    def key_id(self) -> bytes:
        """The 4 bytes that name the key in a note."""
        return hashlib.sha256(self.name.encode() + b"\n" + _ED25519 + self.key).digest()[:4]

    @property
    def not_after(self) -> str:
        """The end of the key's validity, as text."""
        return datetime.fromtimestamp(self.not_after_s, UTC).strftime(_TIME)

    def expired(self, now_s: int) -> bool:
        """Tell whether the key has expired."""
        return now_s > self.not_after_s

    def verifies(self, signature: bytes, text: bytes) -> bool:
        """Tell whether the key's owner signed `text`."""
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

        try:
            Ed25519PublicKey.from_public_bytes(self.key).verify(signature, text)
        except (InvalidSignature, ValueError):
            return False
        return True


@attrs.frozen
class SecretKey:
    """Secret key that signs; `repr` does not show the secret."""

    public: PublicKey
    secret: bytes = attrs.field(repr=False)

    def sign(self, text: bytes) -> bytes:
        """The 64 bytes of a signature."""
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

        return Ed25519PrivateKey.from_private_bytes(self.secret).sign(text)


def make_key(path: str, name: str, days: int, now_s: int) -> PublicKey:
    """Make a key pair valid for `days`: the secret key in a new file `path` (mode 0600), the public in `path`.pub.

    Raises `UsageError` if either file exists, and for a name with blanks or `+`, or too long for a key's file.
    """
    if not _NAME.fullmatch(name):
        raise UsageError(f"{name!r} is no name for a key: it must have no blanks and no +")
    if not 0 < days <= 36_500:
        raise UsageError(f"a key is good for 1 to 36500 days, not {days}")
    secret = os.urandom(KEY_BYTES)
    public = PublicKey(name, _public_of(secret), now_s + days * _DAY_S)
    private = _text(_SECRET + _line(public, secret), public)
    if len(private) > _FILE_BYTES_MAX:
        raise UsageError(f"{name[:20]}… is too long a name for a key: its file would have {len(private)} bytes")
    for place in (path, path + ".pub"):
        if os.path.lexists(place):
            raise UsageError(f"{place} is already there", hint="a key is never overwritten; choose another file")
    _write(path, private, files.PRIVATE)
    _write(path + ".pub", _text(_line(public, public.key), public), 0o644)
    return public


def load_secret(path: str, now_s: int) -> SecretKey:
    """The key to sign with.

    Raises `UsageError` if others can read the file or the key has expired, `UnreadableInput` if the file is missing
    or holds no secret key.
    """
    mode, text = _read(path)
    if path.endswith(".pub") and not text.startswith(_SECRET):
        raise UnreadableInput(f"{path} is the public key", hint=f"give the secret one: {path.removesuffix('.pub')}")
    name, key_id, secret, not_after_s = _parse(path, text, _SECRET)
    if mode & 0o077:
        raise UsageError(f"{path} can be read by others (mode {mode & 0o777:04o})", hint=f"chmod 600 {path}")
    public = PublicKey(name, _public_of(secret), not_after_s)
    if public.key_id.hex() != key_id:
        raise UnreadableInput(f"{path}: the key does not fit its id {key_id}")
    if public.expired(now_s):
        raise UsageError(f"{path}: the key was good until {public.not_after}", hint="make a new one: --make-key")
    return SecretKey(public, secret)


def load_public(path: str) -> PublicKey:
    """The key to check with, even an expired one; raises `UnreadableInput`."""
    _, text = _read(path)
    if text.startswith(_SECRET):
        raise UnreadableInput(f"{path} is the secret key", hint=f"give the public one: {path}.pub")
    name, key_id, key, not_after_s = _parse(path, text, "")
    public = PublicKey(name, key, not_after_s)
    if public.key_id.hex() != key_id:
        raise UnreadableInput(f"{path}: the key does not fit its id {key_id}")
    return public


def _public_of(secret: bytes) -> bytes:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    return Ed25519PrivateKey.from_private_bytes(secret).public_key().public_bytes_raw()


def _line(public: PublicKey, key: bytes) -> str:
    return f"{public.name}+{public.key_id.hex()}+{base64.b64encode(_ED25519 + key).decode()}"


def _text(line: str, public: PublicKey) -> bytes:
    """The content of a key's file."""
    return f"{line}\nnot_after {public.not_after}\n".encode()


def _write(path: str, text: bytes, mode: int) -> None:
    """Write a new file that has its mode from the first moment on, under any umask."""
    fd = files.create(path, mode)
    with open(fd, "wb") as file:
        file.write(text)
        file.flush()
        files.sync(fd)


def _read(path: str) -> tuple[int, str]:
    """A file's mode and text, both of the same file."""
    try:
        fd = os.open(path, os.O_RDONLY | files.CLOEXEC | files.NONBLOCK)
        with open(fd, "rb") as file:
            mode = os.fstat(fd).st_mode
            raw = file.read(_FILE_BYTES_MAX) if stat.S_ISREG(mode) else b""
        return mode, raw.decode()
    except OSError as error:
        raise UnreadableInput(f"{path}: the key cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UnreadableInput(f"{path}: this is no key file") from error


def _parse(path: str, text: str, prefix: str) -> tuple[str, str, bytes, int]:
    """Name, key id in hex, the 32 bytes, and not_after."""
    first, _, second = text.removesuffix("\n").partition("\n")
    parts = first.removeprefix(prefix).split("+", 2)
    try:
        if not first.startswith(prefix) or len(parts) != 3 or not _NAME.fullmatch(parts[0]):
            raise ValueError
        blob = base64.b64decode(parts[2], validate=True)
        if len(blob) != KEY_BYTES + 1 or blob[:1] != _ED25519 or not second.startswith("not_after "):
            raise ValueError
        until = datetime.strptime(second.removeprefix("not_after "), _TIME).replace(tzinfo=UTC)
    except (ValueError, binascii.Error):
        what = "secret key" if prefix else "public key"
        raise UnreadableInput(
            f"{path}: this is no {what} with a time not_after", hint="make one: clawvm checkpoint --make-key"
        ) from None
    return parts[0], parts[1], blob[1:], int(until.timestamp())
