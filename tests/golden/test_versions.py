"""Versions that stored things name: raise one together with what it stands for, and this table with it."""

from clawvm_es.core.decide import DECIDER_VERSION
from clawvm_es.core.evolve import REDUCER_VERSION
from clawvm_es.importers.trace import VERSION
from clawvm_es.journal.snapshots.parts import FORMAT
from clawvm_es.model.events import EVENT_TYPES
from clawvm_es.storage.sqlite import schema

NEWER = {
    **dict.fromkeys(("session_opened", "session_forked"), 8),
    "settings_adopted": 6,
    "boundary_reached": 4,
    **dict.fromkeys(("tool_called", "update_staged", "page_written", "model_responded"), 3),
    **dict.fromkeys(("turn_began", "tool_returned"), 2),
    **dict.fromkeys(("recall_answered", "scope_synced", "scope_changed", "update_committed", "prompt_assembled"), 2),
}
"""Event types whose schema has had other versions; all others are at their first."""


def test_versions_are_those_that_were_published():
    """Decider, fold, snapshots, traces, the file, and every event's schema."""
    assert (DECIDER_VERSION, REDUCER_VERSION, FORMAT, VERSION) == (3, 13, 4, 11)
    assert (schema.APPLICATION_ID, schema.USER_VERSION) == (0x434C564D, 3)
    assert {name: cls.SCHEMA_VERSION for name, cls in EVENT_TYPES.items()} == {
        **dict.fromkeys(EVENT_TYPES, 1),
        **NEWER,
    }
