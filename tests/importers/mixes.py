"""Recordings whose rows come twice, late, not at all or among those of another one, and what is read of each.

`python -m tests.importers.mixes` writes `mixes.txt` anew. The near misses change one place of a good file. Here a
seed changes several: rows of any list are dropped, doubled, moved, exchanged and borrowed from other files of the
format, and values are changed. What one row says of another is then missing, late, repeated or contradicted.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from random import Random
from typing import Any

from clawvm_es.importers import FORMATS
from tests.importers.near_misses import FILES, _others, at, put, word
from tests.importers.test_odd_json import places

HERE = Path(__file__).with_name("mixes.txt")
MIXES = 240
"""Files of each format."""
Place = tuple[Any, ...]


def lists(rows: list[Any]) -> list[Place]:
    """The places of all lists of objects, the one of the rows first."""
    inner = [place for place in places(rows) if _is_rows(at(rows, place))]
    return [(), *inner]


def _is_rows(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(item, dict) for item in value)


def donors(format_: str) -> dict[str, list[Any]]:
    """What stands in the lists of all files of a format, by the name of the list."""
    found: dict[str, list[Any]] = {}
    for _, rows, known in FILES.values():
        for place in lists(rows) if known == format_ else ():
            found.setdefault(_name(place), []).extend(at(rows, place))
    return found


def _name(place: Place) -> str:
    return next((key for key in reversed(place) if isinstance(key, str)), "")


def mixed(random: Random, rows: list[Any], others: dict[str, list[Any]]) -> list[Any]:
    """The rows after one to five changes of lists, and up to three of values."""
    for _ in range(random.randrange(1, 6)):
        found = lists(rows)
        place = max(random.choices(found, k=3), key=lambda each: len(at(rows, each)))
        new = _changed(random, at(rows, place), others.get(_name(place), []))
        rows = put(rows, place, (new,)) if place else new
    for _ in range(random.randrange(4)):
        found = list(places(rows))
        if found:
            place = random.choice(found)
            rows = put(rows, place, random.choice(list(_others(at(rows, place), place[-1]))))
    return rows


def _changed(random: Random, items: list[Any], others: Sequence[Any]) -> list[Any]:
    """The items with one dropped, doubled, moved, exchanged with the next, or borrowed."""
    if not items:
        return list(others[:1])
    one, other = random.randrange(len(items)), random.randrange(len(items) + 1)
    item, rest = items[one], [*items[:one], *items[one + 1 :]]
    how = random.randrange(6)
    if how == 0:
        return rest
    if how == 1:
        return [*rest[:other], item, *rest[other:]]
    if how == 2:
        return [*items[:other], item, *items[other:]]
    if how == 3:
        return [*items[:one], *reversed(items[one : one + 2]), *items[one + 2 :]]
    return [*items[:other], random.choice([*others, item]), *items[other:]]


def words() -> Iterator[str]:
    """A line for each file: its format, its seed and its word."""
    for format_ in FORMATS:
        bases, others = [each for each in FILES.values() if each[2] == format_], donors(format_)
        large = [each for each in bases if len(each[1]) > 1 or format_ != "claude_code"]
        for seed in range(MIXES):
            random = Random(seed)
            make, rows, _ = random.choice(large)
            yield f"{format_} {seed} {word(make(mixed(random, rows, others)), format_)}"


if __name__ == "__main__":
    HERE.write_text("\n".join(words()) + "\n", encoding="utf-8")
