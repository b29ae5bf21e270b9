"""Find the damage behind an unexpected error.

LAW-DAMAGE-1: an unexpected error is blamed on the file if `verify` finds it damaged; otherwise it is an internal
error.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress

from clawvm_es.errors import ClawVMError, JournalDamaged
from clawvm_es.views.proved import verified


def blamed(error: Exception, journals: Iterable[str]) -> JournalDamaged | None:
    """The error to raise in place of an unexpected one; it names the first damaged journal. None if all are whole."""
    for path in journals:
        with suppress(ClawVMError):
            problems, *_ = verified(path, fast=False)
            if problems:
                where, what, detail = (problems[0][name] for name in ("where", "what", "detail"))
                found = f"{path} is damaged: {where}: {what}: {detail}"
                return JournalDamaged(f"{found} (met by a {type(error).__name__})", hint=f"see: clawvm verify {path}")
    return None
