"""Workload families: seeded generators of `clawvm-trace` sessions that are hard for an agent's memory.

>>> from clawvm_es.evaluation import families
>>> session = families.workload("coding", seed=1)
>>> families.write("coding.jsonl", "coding", seed=1)  # doctest: +SKIP

The same family, seed and parameters give the same bytes on every machine. Parameters are integers, chosen before
any policy ran on their sessions; a sweep scales them by ½ and by 2.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from hashlib import sha256
from pathlib import Path
from random import Random
from types import MappingProxyType
from typing import Any, Final

import attrs

from clawvm_es.errors import UsageError
from clawvm_es.evaluation.families import assistant, coding, research, runbook
from clawvm_es.evaluation.families.parameters import SWEEP, Parameters, described, scaled
from clawvm_es.evaluation.families.script import Script
from clawvm_es.evaluation.workload import Workload, from_recording
from clawvm_es.files import write_whole
from clawvm_es.importers import trace as trace_format
from clawvm_es.representations.counter import Lines4Counter

__all__ = [
    "FAMILIES",
    "SWEEP",
    "Family",
    "as_workload",
    "described",
    "family",
    "scaled",
    "trace",
    "workload",
    "write",
]


@attrs.frozen
class Family:
    """One kind of session: its name, what it is in one line, its parameters, and what writes it."""

    name: str
    title: str
    parameters: Parameters
    write: Callable[[Script, Random, Any], None]


FAMILIES: Final[Mapping[str, Family]] = MappingProxyType(
    {
        found.name: found
        for found in (
            Family("coding", "long-horizon coding", coding.Coding(), coding.write),
            Family("research", "research with evidence churn", research.Research(), research.write),
            Family(
                "assistant",
                "personal assistant with preferences and calendars",
                assistant.Assistant(),
                assistant.write,
            ),
            Family("runbook", "operations runbook with policies and resets", runbook.Runbook(), runbook.write),
        )
    }
)


def family(name: str) -> Family:
    """The family called `name`; raises `UsageError`, which lists the known names."""
    try:
        return FAMILIES[name]
    except KeyError:
        raise UsageError(f"unknown family {name!r}", hint=f"one of {', '.join(FAMILIES)}") from None


def trace(name: str, seed: int = 1, parameters: Parameters | None = None) -> Iterator[str]:
    """The lines of a session's trace, each with its newline; by default under the family's own parameters.

    Raises `UsageError` for an unknown family, or parameters of another one.
    """
    found = family(name)
    chosen = found.parameters if parameters is None else parameters
    if type(chosen) is not type(found.parameters):
        raise UsageError(f"family {name} takes {type(found.parameters).__name__}, not {type(chosen).__name__}")
    script = Script(_session_id(found, seed, chosen))
    found.write(script, Random(seed), chosen)
    return script.lines()


def workload(name: str, seed: int = 1, parameters: Parameters | None = None) -> Workload:
    """The session as the evaluation runs it: its trace, read by the ordinary importer."""
    return as_workload(trace(name, seed, parameters), name)


def as_workload(lines: Iterable[str], name: str) -> Workload:
    """The workload of a written script."""
    (recording,) = trace_format.parse("".join(lines).encode(), f"family {name}")
    return from_recording(recording, Lines4Counter(), name)


def write(path: Path | str, name: str, seed: int = 1, parameters: Parameters | None = None) -> None:
    """Write the session's trace to a file, which `clawvm replay` reads."""
    write_whole(path, (line.encode() for line in trace(name, seed, parameters)))


def _session_id(found: Family, seed: int, parameters: Parameters) -> str:
    """Family and seed; with changed parameters also their digest, so that ids are unique."""
    if parameters == found.parameters:
        return f"{found.name}/{seed}"
    values = ",".join(f"{name}={value}" for name, value, _ in described(parameters))
    return f"{found.name}/{seed}/{sha256(values.encode()).hexdigest()[:12]}"
