"""URLs of journals in PostgreSQL.

    postgresql://USER@HOST:PORT/DATABASE?schema=NAME&normal=off

All of libpq's forms and parameters, and two of ours: `schema` names the schema of the journal (default `clawvm`), so
that a database can hold several; `normal=off` lets a `normal` commit return before it is on the server's disk. Then a
crash of the server takes back the last commits that were acknowledged; sessions say `tail lost`.
"""

from __future__ import annotations

import hashlib
import re
from typing import Final

import attrs

from clawvm_es.errors import UsageError
from clawvm_es.urls import shown

SCHEMA: Final = "clawvm"
_SCHEMA: Final = re.compile(r"[a-z_][a-z0-9_]{0,40}")
_OURS: Final = re.compile(r"(?P<sign>[?&])(?P<name>schema|normal)=(?P<value>[^&#]*)(?P<more>&?)")


@attrs.frozen
class Address:
    """One journal: what libpq is given (with the password, if any), its schema, and whether `normal` waits."""

    conninfo: str = attrs.field(repr=False)
    schema: str
    normal_waits: bool
    place: str
    """The URL for people, without its password."""

    @property
    def lock_key(self) -> int:
        """The number of the advisory lock that one writer of this journal holds: 63 bits of the schema's name."""
        return int.from_bytes(hashlib.sha256(f"clawvm-es {self.schema}".encode()).digest()[:8], "big") >> 1

    @property
    def channel(self) -> str:
        """The channel on which commits are told."""
        return f"{self.schema}_news"


def parse(url: str) -> Address:
    """Read a URL; raises `UsageError` for a schema that is no plain name, and for another `normal`."""
    given, rest = dict[str, str](), url
    while found := _OURS.search(rest):
        given[found["name"]] = found["value"]
        rest = rest[: found.start()] + (found["sign"] if found["more"] else "") + rest[found.end() :]
    schema, normal = given.get("schema", SCHEMA), given.get("normal", "on")
    if not _SCHEMA.fullmatch(schema) or schema.startswith("pg_"):
        raise UsageError(f"schema={schema!r} names no schema here", hint="small letters, digits and _, at most 41")
    if normal not in ("on", "off"):
        raise UsageError(f"normal={normal!r}: expected on or off")
    return Address(rest, schema, normal == "on", str(shown(url)))
