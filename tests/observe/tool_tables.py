"""What is declared of each tool of each known harness, one line for each: the text that `tool_tables.txt` holds."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from clawvm_es.observe.tables import TABLES
from clawvm_es.observe.tools import UNKNOWN_TOOL, Tool

HERE = Path(__file__).with_suffix(".txt")


def words() -> Iterator[str]:
    """A line for each tool."""
    for harness, tools in TABLES.items():
        yield from (f"{harness} {line(name, tool)}" for name, tool in tools.items())
    yield f"unknown {line('*', UNKNOWN_TOOL)}"


def line(name: str, tool: Tool) -> str:
    """Name and kind of a tool, and all that it declares."""
    parts = {
        "path": tool.path + "?" * tool.optional_path,
        "reads": " ".join(tool.reads),
        "writes": " ".join(tool.writes),
        "invalidates": " ".join(tool.invalidates),
        "roles": " ".join(f"{argument}={role}" for argument, role in sorted(tool.roles.items())),
        "ignores": " ".join(sorted(tool.ignores)),
        "defaults": " ".join(f"{argument}={value!r}" for argument, value in tool.defaults.items()),
    }
    kind = f"{tool.kind}, repeats" if tool.deterministic else str(tool.kind)
    return "; ".join([f"{name}: {kind}", *(f"{part}: {said}" for part, said in parts.items() if said)])


def main() -> None:
    """Write the lines."""
    HERE.write_text("\n".join(words()) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
