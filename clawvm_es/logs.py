"""Warnings to whoever runs a program, by structlog, which is loaded with the first of them: it takes long to load."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import attrs

_set_up: list[Callable[[], None]] = []


def set_up_by(configure: Callable[[], None]) -> None:
    """Have structlog configured by a function: before the first warning, or at once where it is loaded already."""
    if "structlog" in sys.modules:
        configure()
    else:
        _set_up[:] = [configure]


@attrs.frozen
class Log:
    """A logger by its name."""

    name: str

    def warning(self, event: str, **values: object) -> None:
        """Log a warning, whose values are told apart."""
        import structlog

        for configure in _set_up:
            configure()
        _set_up.clear()
        logger: Any = structlog.get_logger(self.name)
        logger.warning(event, **values)
