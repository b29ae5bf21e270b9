"""What `verify` finds."""

from __future__ import annotations

import attrs


@attrs.frozen
class Problem:
    """One thing that is not as the laws of the log say.

    `what` is a short stable word (a column where one can be named), `where` the row or object, `detail` a
    sentence.
    """

    what: str
    where: str
    detail: str

    def __str__(self) -> str:
        return f"{self.where}: {self.what}: {self.detail}"
