"""The damage behind an error: looked for where something raised that no code of ours expects.

LAW-DAMAGE-1: an error that no code of ours expects is the file's where `verify` finds that the file is damaged; else
it is a fault of this program.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress

from clawvm_es.errors import ClawVMError, JournalDamaged
from clawvm_es.views.proved import verified


def blamed(error: Exception, journals: Iterable[str]) -> JournalDamaged | None:
    """The error to raise in place of an unexpected one: names the first damaged journal; None if all are whole."""
    for path in journals:
        with suppress(ClawVMError):
            problems, *_ = verified(path, fast=False)
            if problems:
                where, what, detail = (problems[0][name] for name in ("where", "what", "detail"))
                found = f"{path} is damaged: {where}: {what}: {detail}"
                return JournalDamaged(f"{found} (met by a {type(error).__name__})", hint=f"see: clawvm verify {path}")
    return None
