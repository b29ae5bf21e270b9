"""Plans as the model's planning tools state them, folded into the text of plan pages.

One page per kind of plan: the to-do list (written whole), the tasks (folded by id), the approved plan.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final

import attrs

from clawvm_es.observe.fields import Fields

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
        given = Fields(arguments)
        if name == "TodoWrite":
            return _listed("todo", "To-do list", _items(given.objects("todos"), "content", "activeForm"))
        if name == "update_plan":
            return _listed("steps", given.text("explanation") or "Plan", _items(given.objects("plan"), "step"))
        if name in ("ExitPlanMode", "exit_plan_mode"):
            text = given.text("plan") or result.partition(_APPROVED)[2]
            return Plan("approved", text, True) if text.strip() else None
        if name == "TaskCreate" and (found := _TASK_ID.search(result)):
            subject, detail = given.text("subject"), given.text("description")
            self.tasks[found[1]] = _Item(subject, "pending", detail)
        elif name == "TaskUpdate" and (task_id := _task_id(arguments.get("taskId"))) in self.tasks:
            self.tasks[task_id] = _updated(self.tasks[task_id], given)
        else:
            return None
        return _listed("tasks", "Tasks", [item for item in self.tasks.values() if item.status != "deleted"])


def _updated(item: _Item, arguments: Fields) -> _Item:
    return _Item(
        arguments.text("subject") or item.text,
        arguments.text("status") or item.status,
        arguments.text("description") or item.detail,
    )


def _task_id(value: object) -> str:
    """The id of a task, which is written as a string or as a number."""
    return str(value) if isinstance(value, (str, int)) else ""


def _items(rows: Sequence[Fields], text: str, detail: str = "") -> list[_Item]:
    return [_Item(row.text(text), row.text("status"), row.text(detail)) for row in rows]


def _listed(slot: str, title: str, items: list[_Item]) -> Plan:
    """A plan as a list of steps, marked `[x]` when done, `[>]` when being done, `[ ]` otherwise."""
    lines = [f"- {_MARKS.get(item.status, '[ ]')} {item.text}" for item in items]
    current = "\n".join(f"{item.text}\n{item.detail}" for item in items if item.status == "in_progress")
    active = any(item.status != "completed" for item in items)
    return Plan(slot, "\n".join([f"# {title}", *lines]), active, current)
