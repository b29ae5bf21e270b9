"""Damage in place of an unexpected error: exit code 2 and one line, not 70 (LAW-DAMAGE-1, `views.damage`)."""

from __future__ import annotations


def raise_damage(error: Exception, journal: str) -> None:
    """Raise the damage of a journal in place of an unexpected error; do nothing if the journal is whole.

    For verbs that would continue with other files: damage ends them at once, with one line.
    """
    from clawvm_es.views.damage import blamed

    if (damage := blamed(error, [journal])) is not None:
        raise damage from error
