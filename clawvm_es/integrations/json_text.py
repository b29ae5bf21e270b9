"""Put one entry into an object inside a JSON file's outermost object, and take it out again, without changing other
bytes.

The form of the entry records what was there before:

| before | with the entry |
|---|---|
| nothing, or blanks | `{ "table": {"name": …}}` |
| no such table | `…, "table": {"name": …}}` |
| an empty table | `"table": { "name": …}` |
| others in the table | `"table": {…, "name": …}` |

LAW-SPLICE-1: putting an entry in and taking it out gives the same text. If others rewrote the file in between, the
entry is still removed, and an empty table with it.
"""

from __future__ import annotations

import json
import re

import attrs

_VALUE = json.JSONDecoder()
_BLANK = re.compile(r"[ \t\r\n]*")


@attrs.frozen
class Member:
    """A member of an object: its name, and where the name begins, the value begins and the value ends."""

    name: str
    begin: int
    value: int
    end: int


def put(text: str, table: str, name: str, value: object) -> str:
    """The text with an entry that it does not have."""
    entry = f"{json.dumps(name)}: {json.dumps(value)}"
    if not text.strip():
        return f"{{ {json.dumps(table)}: {{{entry}}}}}{text}"
    start = _after(text, 0)
    members = _members(text, start)
    into = _named(members, table)
    if into is None:
        return _added(text, start, members, f"{json.dumps(table)}: {{{entry}}}")
    inner = _members(text, into.value)
    return _added(text, into.value, inner, entry if inner else f" {entry}")


def take(text: str, table: str, name: str) -> str:
    """The text without the entry, which must be in it."""
    start = _after(text, 0)
    members = _members(text, start)
    into = _named(members, table)
    assert into is not None
    inner = _members(text, into.value)
    entry = _named(inner, name)
    assert entry is not None
    if len(inner) > 1:
        return _without(text, inner, entry)
    if text[into.value :].startswith(f"{{ {json.dumps(name)}"):
        return text[: into.value + 1] + text[entry.end :]
    if len(members) == 1 and text[start:].startswith(f"{{ {json.dumps(table)}: {{{json.dumps(name)}"):
        return text[:start] + text[_after(text, into.end) + 1 :]
    return _without(text, members, into)


def _members(text: str, start: int) -> list[Member]:
    """The members of the object that begins at a place, in JSON that was read before."""
    found, at = [], _after(text, start + 1)
    while text[at] != "}":
        name, end = _VALUE.raw_decode(text, at)
        value = _after(text, _after(text, end) + 1)
        end = _VALUE.raw_decode(text, value)[1]
        found.append(Member(name, at, value, end))
        at = _after(text, end)
        if text[at] == ",":
            at = _after(text, at + 1)
    return found


def _named(members: list[Member], name: str) -> Member | None:
    """The member of a name: of several the last, as readers take it."""
    return next((each for each in reversed(members) if each.name == name), None)


def _added(text: str, start: int, members: list[Member], member: str) -> str:
    """The text with another member at an object's end, indented as its last one."""
    if not members:
        return text[: start + 1] + member + text[start + 1 :]
    last = members[-1]
    blank = re.search(r"[ \t\r\n]*\Z", text[start + 1 : last.begin])
    assert blank is not None
    return f"{text[: last.end]},{blank[0]}{member}{text[last.end :]}"


def _without(text: str, members: list[Member], member: Member) -> str:
    """The text without a member, and without the comma beside it."""
    place = members.index(member)
    if place:
        return text[: members[place - 1].end] + text[member.end :]
    after = members[1].begin if len(members) > 1 else member.end
    return text[: member.begin] + text[after:]


def _after(text: str, at: int) -> int:
    """The next place that holds no blank."""
    found = _BLANK.match(text, at)
    assert found is not None
    return found.end()
