"""Plans as planning tools state them: which one a call changes, and its text afterwards."""

from __future__ import annotations

import pytest

from clawvm_es.observe.plans import Plan, Plans

DONE = {"content": "a", "status": "completed"}
DOING = {"content": "b", "activeForm": "B", "status": "in_progress"}


@pytest.mark.parametrize(
    ("name", "arguments", "result", "plan"),
    [
        ("TodoWrite", {"todos": [DONE, DOING, {"content": "c"}]}, "",
         Plan("todo", "# To-do list\n- [x] a\n- [>] b\n- [ ] c", True, "b\nB")),
        ("TodoWrite", {"todos": [DONE]}, "", Plan("todo", "# To-do list\n- [x] a", False)),
        ("TodoWrite", {"todos": []}, "", Plan("todo", "# To-do list", False)),
        ("update_plan", {"explanation": "Why", "plan": [{"step": "a", "status": "in_progress"}]}, "",
         Plan("steps", "# Why\n- [>] a", True, "a\n")),
        ("update_plan", {"plan": []}, "", Plan("steps", "# Plan", False)),
        ("ExitPlanMode", {"plan": "do it"}, "", Plan("approved", "do it", True)),
        ("exit_plan_mode", {"plan": "do it"}, "", Plan("approved", "do it", True)),
        ("ExitPlanMode", {}, "ok\n## Approved Plan:\ndo it", Plan("approved", "do it", True)),
        ("ExitPlanMode", {}, "no plan", None),
        ("ExitPlanMode", {"plan": " \n"}, "", None),
        ("TaskCreate", {"subject": "a"}, "no number", None),
        ("TaskUpdate", {"taskId": "1", "status": "completed"}, "", None),
        ("Read", {"plan": "x"}, "#1", None),
        ("write_todos", {"todos": [{"description": "a", "status": "in_progress"}]}, "",
         Plan("todo", "# To-do list\n- [>] a", True, "a\n")),
        ("task_tracker", {"task_list": [{"title": "a", "notes": "n", "status": "in_progress"}]}, "",
         Plan("tasks", "# Tasks\n- [>] a", True, "a\nn")),
        ("task_tracker", {"command": "view"}, "", None),
        ("other", {"task_list": [{"title": "a"}], "todos": [DONE]}, "", None),
    ],
)  # fmt: skip
def test_a_call_states_a_plan(name, arguments, result, plan) -> None:
    """Lists are marked by status, the approved plan is a text, and a call that states none changes none."""
    before = Plans()
    after, found = before.after(name, arguments, result)
    assert found == plan and after == before


def test_tasks_are_folded_by_id() -> None:
    """Tasks are made, changed where something is given, and left out once deleted; an id may be a number."""
    plans, plan = Plans().after("TaskCreate", {"subject": "one", "description": "first"}, "Task #1 created")
    assert plan == Plan("tasks", "# Tasks\n- [ ] one", True)
    plans, plan = plans.after("TaskCreate", {"subject": "two"}, "Task #x2 created")
    assert plan == Plan("tasks", "# Tasks\n- [ ] one\n- [ ] two", True)
    plans, plan = plans.after("TaskUpdate", {"taskId": 1, "status": "in_progress"}, "")
    assert plan == Plan("tasks", "# Tasks\n- [>] one\n- [ ] two", True, "one\nfirst")
    plans, plan = plans.after("TaskUpdate", {"taskId": "1", "subject": "uno", "description": "primero"}, "")
    assert plan == Plan("tasks", "# Tasks\n- [>] uno\n- [ ] two", True, "uno\nprimero")
    plans, plan = plans.after("TaskUpdate", {"taskId": "x2", "status": "deleted"}, "")
    assert plan == Plan("tasks", "# Tasks\n- [>] uno", True, "uno\nprimero")
    same, plan = plans.after("TaskUpdate", {"taskId": None, "status": "deleted"}, "")
    assert plan is None and same is plans
    plans, plan = plans.after("TaskUpdate", {"taskId": "1", "status": "completed"}, "")
    assert plan == Plan("tasks", "# Tasks\n- [x] uno", False)
