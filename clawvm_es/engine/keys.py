"""Idempotency keys of a session's inputs; an importer's consecutive keys take eight bytes each."""

from __future__ import annotations

from array import array

import attrs


@attrs.define
class Keys:
    """Keys, and the versions of the inputs recorded under them."""

    _others: dict[str, int] = attrs.field(factory=dict)
    _counted: dict[str, tuple[int, array[int]]] = attrs.field(factory=dict)  # head → first number, versions from it

    def put(self, key: str, version: int) -> None:
        """Note the version of the input under a key."""
        head, number = _parted(key)
        if number < 0:
            self._others[key] = version
            return
        first, versions = self._counted.setdefault(head, (number, array("q")))
        if number == first + len(versions):
            versions.append(version)
        elif first <= number < first + len(versions):
            versions[number - first] = version
        else:
            self._others[key] = version

    def get(self, key: str) -> int | None:
        """The version of the input recorded under a key, or None."""
        head, number = _parted(key)
        first, versions = self._counted.get(head, (0, None)) if number >= 0 else (0, None)
        if versions is not None and first <= number < first + len(versions):
            return versions[number - first]
        return self._others.get(key)


def _parted(key: str) -> tuple[str, int]:
    """A key split into a head and the number it ends with; -1 if it does not end with one."""
    head, _, number = key.rpartition(":")
    plain = head and number.isascii() and number.isdigit() and len(number) < 16 and (number[0] != "0")
    return (head, int(number)) if plain else (key, -1)
