"""Ordinals of the keys in a session's recorded calls, found by text without reading the calls.

LAW-ORDINAL-1: a recorded key has the same ordinal on every handle; an erased key counts as new.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from clawvm_es.core.state import State, known_by
from clawvm_es.journal.lineage import lineage
from clawvm_es.journal.ports import EventLog, Vault
from clawvm_es.observe.edge import Ordinals, encode


class RecordedKeys:
    """The keys of one session's calls, as a state knows them: text → commitment → ordinal.

    A fork's keys may be its parents', under their commitments. `state` is read at the first look-up.
    """

    def __init__(self, log: EventLog, session_id: str, state: State) -> None:
        self._log = log
        self._session_id = session_id
        self._state = state
        self._found_in: tuple[Vault, ...] | None = None
        self._signatures: dict[str, int] | None = None
        self._resources: dict[str, int] | None = None

    def signatures(self) -> Ordinals:
        """The ordinals of call signatures."""
        count = len(self._state.signature_keys)
        return Ordinals(count, self._signature if count else None)

    def resources(self) -> Ordinals:
        """The ordinals of resource keys, each prefixed by its kind."""
        count = len(self._state.resource_keys)
        return Ordinals(count, self._resource if count else None)

    def _signature(self, key: str) -> int | None:
        if self._signatures is None:
            self._signatures = _inverse(self._state.signature_keys)
        return self._ordinal(self._signatures, "", key)

    def _resource(self, key: str) -> int | None:
        if self._resources is None:
            kinds = self._state.resources
            prefixed = {number: f"{kinds[number]}:{name}" for number, name in self._state.resource_keys.items()}
            self._resources = _inverse(prefixed)
        kind, _, text = key.partition(":")
        return self._ordinal(self._resources, f"{kind}:", text)

    def _ordinal(self, ordinals: Mapping[str, int], prefix: str, text: str) -> int | None:
        body = encode(text)
        names = (prefix + known_by(name) for vault in self._vaults() if (name := vault.known(body)) is not None)
        return next((ordinals[name] for name in names if name in ordinals), None)

    def _vaults(self) -> Iterator[Vault]:
        """The vaults of the session and of its fork parents, its own first."""
        if self._found_in is None:
            segments = lineage(self._log, self._session_id)
            self._found_in = tuple(self._log.vault(segment.stream) for segment in reversed(segments))
        return iter(self._found_in)


def _inverse(keys: Mapping[int, str]) -> dict[str, int]:
    """Key → ordinal; of keys recorded twice, the first."""
    return {name: number for number, name in sorted(keys.items(), reverse=True)}
