"""What importer tests look for: the texts that commands keep, and the steps that are finished."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from clawvm_es.importers import Recording
from clawvm_es.model.commands import Command
from clawvm_es.observe.steps import ModelMessage, ToolResult


def texts_in(commands: Iterable[Command], vault: Any) -> Iterator[str]:
    """All texts that a vault keeps for commands: of pages, arguments, results."""
    for command in commands:
        layer: list[Any] = [msgspec.to_builtins(command.data)]
        while layer:
            node = layer.pop()
            if isinstance(node, str) and (body := vault.open(node)) is not None:
                yield body.decode("utf-8", "surrogatepass")
            elif isinstance(node, dict):
                layer.extend(node.values())
            elif isinstance(node, (list, tuple)):
                layer.extend(node)


def finished(recording: Recording) -> tuple[Any, ...]:
    """The steps of a session but for its last answer and results, where nothing came after them."""
    steps = list(recording.steps)
    while steps and isinstance(steps[-1], ToolResult):
        steps.pop()
    if steps and isinstance(steps[-1], ModelMessage):
        steps.pop()
    return tuple(steps)
