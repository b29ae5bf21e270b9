"""Log warnings with structlog, which is loaded at the first warning, since loading it is slow."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import attrs

_set_up: list[Callable[[], None]] = []


def set_up_by(configure: Callable[[], None]) -> None:
    """Have a function configure structlog: before the first warning, or at once if it is already loaded."""
    if "structlog" in sys.modules:
        configure()
    else:
        _set_up[:] = [configure]


@attrs.frozen
class Log:
    """A logger by its name."""

    name: str

    def warning(self, event: str, **values: object) -> None:
        """Log a warning with named values."""
        import structlog

        for configure in _set_up:
            configure()
        _set_up.clear()
        logger: Any = structlog.get_logger(self.name)
        logger.warning(event, **values)
