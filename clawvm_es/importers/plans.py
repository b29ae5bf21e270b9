"""Plans as the model's planning tools state them, folded into the text of plan pages.

One page per kind of plan: the to-do list (written whole), the tasks (folded by id), the approved plan.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

import attrs

from clawvm_es.importers.records import dict_of, list_of, text_of

_TASK_ID = re.compile(r"#(\w+)")
_APPROVED: Final = "## Approved Plan:\n"
_MARKS: Final[Mapping[str, str]] = MappingProxyType({"completed": "[x]", "in_progress": "[>]"})


@attrs.frozen
class Plan:
    """The state of one plan: which one, its text, whether anything is left to do, and the step that is being done."""

    slot: str
    text: str
    active: bool
    current: str = ""


@attrs.frozen
class _Item:
    text: str
    status: str
    detail: str = ""


@attrs.define
class Plans:
    """All plans of a session."""

    tasks: dict[str, _Item] = attrs.field(factory=dict)

    def returned(self, name: str, arguments: Mapping[str, object], result: str) -> Plan | None:
        """The plan that a successful call of a planning tool leaves behind; None if it changes none."""
        if name == "TodoWrite":
            return _listed("todo", "To-do list", _items(arguments.get("todos"), "content", "activeForm"))
        if name == "update_plan":
            return _listed(
                "steps", text_of(arguments.get("explanation")) or "Plan", _items(arguments.get("plan"), "step")
            )
        if name in ("ExitPlanMode", "exit_plan_mode"):
            text = text_of(arguments.get("plan")) or result.partition(_APPROVED)[2]
            return Plan("approved", text, True) if text.strip() else None
        if name == "TaskCreate" and (found := _TASK_ID.search(result)):
            subject, detail = text_of(arguments.get("subject")), text_of(arguments.get("description"))
            self.tasks[found[1]] = _Item(subject, "pending", detail)
        elif name == "TaskUpdate" and (task_id := str(arguments.get("taskId"))) in self.tasks:
            self.tasks[task_id] = _updated(self.tasks[task_id], arguments)
        else:
            return None
        return _listed("tasks", "Tasks", [item for item in self.tasks.values() if item.status != "deleted"])


def _updated(item: _Item, arguments: Mapping[str, object]) -> _Item:
    return _Item(
        text_of(arguments.get("subject")) or item.text,
        text_of(arguments.get("status")) or item.status,
        text_of(arguments.get("description")) or item.detail,
    )


def _items(value: object, text: str, detail: str = "") -> list[_Item]:
    rows = map(dict_of, list_of(value))
    return [_Item(text_of(row.get(text)), text_of(row.get("status")), text_of(row.get(detail))) for row in rows]


def _listed(slot: str, title: str, items: list[_Item]) -> Plan:
    """A plan as a list of steps, marked `[x]` when done, `[>]` when being done, `[ ]` otherwise."""
    lines = [f"- {_MARKS.get(item.status, '[ ]')} {item.text}" for item in items]
    current = "\n".join(f"{item.text}\n{item.detail}" for item in items if item.status == "in_progress")
    active = any(item.status != "completed" for item in items)
    return Plan(slot, "\n".join([f"# {title}", *lines]), active, current)
