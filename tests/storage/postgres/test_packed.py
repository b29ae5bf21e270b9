"""Lists as they go out to the server: byte for byte what the driver makes of them."""

from __future__ import annotations

from typing import Any

import pytest

psycopg = pytest.importorskip("psycopg")
from psycopg.adapt import PyFormat, Transformer  # noqa: E402
from psycopg.types.numeric import Int8  # noqa: E402

from clawvm_es.storage.postgres.packed import Packed, PackedDumper, packed  # noqa: E402

LISTS = {
    "bigint[]": [[0], [1, -1, 2**63 - 1, -(2**63)], [3, None, 4], [None, 5]],
    "text[]": [[""], ["é", "a" * 300], [None, "x"]],
    "bytea[]": [[b""], [b"\0\xff", b"a" * 300], [b"x", None, None]],
}
NUMBERS = {"bigint[]": 1016, "text[]": 1009, "bytea[]": 1001}


@pytest.mark.parametrize(("kind", "value"), [(kind, value) for kind in LISTS for value in LISTS[kind]], ids=str)
def test_a_list_goes_out_as_the_driver_sends_it(kind: str, value: list[Any]) -> None:
    """Flags, types, counts and lengths of each element, also where some are NULL."""
    given = [Int8(item) if type(item) is int else item for item in value]
    expected = bytes(Transformer().get_dumper(given, PyFormat.BINARY).dump(given) or b"")
    found = packed(kind, value)
    assert (found.oid, found.raw) == (NUMBERS[kind], expected)
    dumper = PackedDumper(Packed, None).upgrade(found, PyFormat.BINARY)
    assert (dumper.oid, dumper.dump(found), dumper.get_key(found, PyFormat.BINARY)) == (
        NUMBERS[kind],
        expected,
        (Packed, NUMBERS[kind]),
    )


def test_an_empty_list_names_the_type_of_its_elements_and_other_values_stay() -> None:
    """The server gets no dimension; what is no list of a known type is the driver's."""
    assert packed("bigint[]", []) == Packed(1016, bytes(8) + (20).to_bytes(4, "big"))
    assert packed("jsonb[]", [1]) == [1] and packed("bigint", 7) == 7
