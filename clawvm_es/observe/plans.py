"""Plans from the model's planning tools, folded into the text of plan pages.

There is one page per kind of plan: the to-do list (written whole), the tasks (folded by id), the approved plan.
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
_DONE: Final = ("completed", "done")
_MARKS: Final[Mapping[str, str]] = MappingProxyType({**dict.fromkeys(_DONE, "[x]"), "in_progress": "[>]"})


@attrs.frozen
class Plan:
    """The state of one plan: its kind, its text, whether anything is left to do, and its current step."""

    slot: str
    text: str
    active: bool
    current: str = ""


@attrs.frozen
class _Item:
    text: str
    status: str
    detail: str = ""


@attrs.frozen
class Plans:
    """All plans of a session, after its calls so far."""

    tasks: Mapping[str, _Item] = MappingProxyType({})

    def after(self, name: str, arguments: Mapping[str, object], result: str) -> tuple[Plans, Plan | None]:
        """The plans after a successful call of a planning tool, and the plan that it changed."""
        plan = self._stated(name, arguments, result)
        if plan is not None:
            return self, plan
        tasks = self._tasks(name, arguments, result)
        if tasks is None:
            return self, None
        left = [item for item in tasks.values() if item.status != "deleted"]
        return Plans(MappingProxyType(tasks)), _listed("tasks", "Tasks", left)

    @staticmethod
    def _stated(name: str, arguments: Mapping[str, object], result: str) -> Plan | None:
        """The plan that a call gives as a whole."""
        given = Fields(arguments)
        if name == "TodoWrite":
            return _listed("todo", "To-do list", _items(given.objects("todos"), "content", "activeForm"))
        if name == "write_todos":
            return _listed("todo", "To-do list", _items(given.objects("todos"), "description"))
        if name in ("task_tracker", "task_tracking") and "task_list" in given:
            return _listed("tasks", "Tasks", _items(given.objects("task_list"), "title", "notes"))
        if name == "update_plan":
            return _listed("steps", given.text("explanation") or "Plan", _items(given.objects("plan"), "step"))
        if name in ("ExitPlanMode", "exit_plan_mode"):
            text = given.text("plan") or result.partition(_APPROVED)[2]
            return Plan("approved", text, True) if text.strip() else None
        return None

    def _tasks(self, name: str, arguments: Mapping[str, object], result: str) -> dict[str, _Item] | None:
        """The tasks after a call that changes one of them."""
        given = Fields(arguments)
        if name == "TaskCreate" and (found := _TASK_ID.search(result)):
            return {**self.tasks, found[1]: _Item(given.text("subject"), "pending", given.text("description"))}
        if name == "TaskUpdate" and (task_id := _task_id(arguments.get("taskId"))) in self.tasks:
            return {**self.tasks, task_id: _updated(self.tasks[task_id], given)}
        return None


def _updated(item: _Item, arguments: Fields) -> _Item:
    return _Item(
        arguments.text("subject") or item.text,
        arguments.text("status") or item.status,
        arguments.text("description") or item.detail,
    )


def _task_id(value: object) -> str:
    """The id of a task, written as a string or as a number."""
    return str(value) if isinstance(value, (str, int)) else ""


def _items(rows: Sequence[Fields], text: str, detail: str = "") -> list[_Item]:
    return [_Item(row.text(text), row.text("status"), row.text(detail)) for row in rows]


def _listed(slot: str, title: str, items: list[_Item]) -> Plan:
    """A plan as a list of steps, marked `[x]` when done, `[>]` when being done, `[ ]` otherwise."""
    lines = [f"- {_MARKS.get(item.status, '[ ]')} {item.text}" for item in items]
    current = "\n".join(f"{item.text}\n{item.detail}" for item in items if item.status == "in_progress")
    active = any(item.status not in _DONE for item in items)
    return Plan(slot, "\n".join([f"# {title}", *lines]), active, current)
