"""Answers of memory backends and their outcomes: an empty answer is never taken for "nothing known"."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TypeAlias

from clawvm_es.model.facts import RecallOutcome

Answer: TypeAlias = Callable[[str], Iterable[str]] | Iterable[str] | None
"""A memory backend, called with the query, or its answer; None is malformed."""


def answer_of(query: str, answer: Answer) -> tuple[Sequence[str], RecallOutcome]:
    """The texts of an answer and its outcome; every error of a backend becomes an outcome."""
    try:
        given = answer(query) if callable(answer) else answer
        if given is None or isinstance(given, (str, bytes)):
            return (), RecallOutcome.MALFORMED
        texts = list(given)
    except PermissionError:
        return (), RecallOutcome.DENIED
    except (TypeError, ValueError):
        return (), RecallOutcome.MALFORMED
    except Exception:  # the backend is the harness's code: whatever it raises is its failure, and is recorded
        return (), RecallOutcome.BACKEND_ERROR
    if not all(isinstance(text, str) for text in texts):
        return (), RecallOutcome.MALFORMED
    return texts, RecallOutcome.OK if texts else RecallOutcome.NO_MATCH
