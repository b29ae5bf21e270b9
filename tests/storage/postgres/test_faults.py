"""The contract catches a broken journal in PostgreSQL: each planted fault fails the tests that name its law."""

from __future__ import annotations

import attrs
import pytest

from tests.contract.running import TESTS, failures


@attrs.frozen
class Fault:
    """A fault: texts of statements and what runs in their place, and the tests that must fail."""

    name: str
    changes: dict[str, str]
    caught_by: tuple[str, ...]


_READ_COMMITTED = {
    "pg_catalog.current_setting('transaction_isolation') <> 'read committed'": "true",
    "READ COMMITTED": "REPEATABLE READ",
    "<> 'read committed'": "= 'none'",
}
FAULTS = (
    Fault("no lock", {"pg_advisory_xact_lock(": "abs("}, ("test_writers_in_threads_over_two_logs",)),
    Fault("stale snapshot", _READ_COMMITTED, ("test_writers_in_threads_over_two_logs",)),
    Fault("stale head", {"found_version <> tip OR found_hash <> tip_hash": "false"}, ("test_writers_take_turns",)),
    Fault(
        "serial ids",
        {
            "CREATE FUNCTION {s}.append": "CREATE SEQUENCE {s}.serial; CREATE FUNCTION {s}.append",
            "SELECT coalesce(max(seq), 0) INTO": "SELECT nextval('{s}.serial') - 1 INTO",
        },
        ("test_a_transaction_is_whole_or_nothing",),
    ),
    Fault("keys are not looked at", {"idempotency_key = ANY (keys)": "false"}, ("test_a_known_group_is_left_out",)),
    Fault("no guards", {"CREATE TRIGGER": "SELECT 1; --"}, ("test_stored_events_are_guarded",)),
    Fault(
        "FULL does not wait",
        {"pg_logical_emit_message(true, 'clawvm', '')": "abs(1)"},
        ("test_full_is_synced_before_it_is_acknowledged",),
    ),
    Fault(
        "bodies stay",
        {
            "DELETE FROM {s}.blobs": "SELECT %s FROM {s}.blobs",
            "DELETE FROM {s}.commitments": "SELECT blob_id FROM {s}.commitments",
            " RETURNING blob_id": "",
        },
        ("test_an_erased_body_is_gone_with_its_salt",),
    ),
)  # fmt: skip


@pytest.mark.sweep(sample=3)
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_the_contract_fails_a_broken_storage(fault, server, proxy, tmp_path, monkeypatch):
    """Every test that is to catch a fault fails on it."""
    from clawvm_es.storage.postgres import server as connecting
    from tests.storage.postgres.places import postgres_place

    run = connecting.Line.run

    def broken(line, template, values=()):
        for text, instead in fault.changes.items():
            for sought in (text, text.replace("{s}", line.address.schema)):
                template = template.replace(sought, instead.replace("{s}", line.address.schema))
        if template.startswith("SELECT 1; --"):
            template = "SELECT 1"
        return run(line, template, values)

    monkeypatch.setattr(connecting.Line, "run", broken)
    assert fault.caught_by and set(fault.caught_by) <= set(TESTS)
    found = failures(lambda path: postgres_place(server, proxy), tmp_path, fault.caught_by)
    assert set(found) == set(fault.caught_by)
