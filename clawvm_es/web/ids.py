"""Names of sessions, pages and fields in an address.

| id | in the address |
|---|---|
| `[A-Za-z0-9_.-]+`, not of dots alone | as it is |
| any other | `~` and base64url of its UTF-8 (lone surrogates too), without `=` |

LAW-KEY-1: `id_of(key_of(id))` is the id; a key holds no character that has a meaning in an address.
"""

from __future__ import annotations

import base64
import binascii
import re
from typing import Final

from clawvm_es.errors import UsageError

_PLAIN: Final = re.compile(r"(?!\.+\Z)[\w.-]+\Z", re.ASCII)
_ENCODED: Final = "~"


def key_of(name: str) -> str:
    """The form of an id in an address."""
    if _PLAIN.match(name):
        return name
    return _ENCODED + base64.urlsafe_b64encode(name.encode("utf-8", "surrogatepass")).decode().rstrip("=")


def id_of(key: str) -> str:
    """The id behind its form in an address. Raises `UsageError` for an invalid form."""
    if not key.startswith(_ENCODED):
        return key
    encoded = key[len(_ENCODED) :]
    try:
        raw = base64.b64decode(encoded + "=" * (-len(encoded) % 4), altchars=b"-_", validate=True)
        return raw.decode("utf-8", "surrogatepass")
    except (ValueError, binascii.Error) as error:
        raise UsageError(f"{key!r} is no id in an address", hint="an id, or ~ and base64url of it") from error
