"""The damage behind an error: looked for where a verb raised what none should.

LAW-DAMAGE-1: an error that no code of ours expects is the file's where `verify` finds that the file is damaged, and
ends with exit code 2 and one line; else it is a fault of this program, and ends with exit code 70.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from clawvm_es.errors import JournalDamaged


def blamed(error: Exception, journals: Iterable[str]) -> JournalDamaged | None:
    """The error to raise in place of an unexpected one: names the first damaged journal; None if all are whole."""
    from clawvm_es.errors import ClawVMError, JournalDamaged
    from clawvm_es.views.proved import verified

    for path in journals:
        with suppress(ClawVMError):
            problems, *_ = verified(path, fast=False)
            if problems:
                where, what, detail = (problems[0][name] for name in ("where", "what", "detail"))
                found = f"{path} is damaged: {where}: {what}: {detail}"
                return JournalDamaged(f"{found} (met by a {type(error).__name__})", hint=f"see: clawvm verify {path}")
    return None


def raise_damage(error: Exception, journal: str) -> None:
    """Raise the damage of a journal in place of an unexpected error; do nothing where the journal is whole.

    For verbs that go on with other files: damage ends them at once, in its one line.
    """
    if (damage := blamed(error, [journal])) is not None:
        raise damage from error
