"""The contract catches broken storages: each planted fault fails the tests that name its law."""

from __future__ import annotations

import pytest

from tests.contract.faults import FAULTS
from tests.contract.running import TESTS, failures


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_the_contract_fails_a_broken_storage(fault, tmp_path):
    """Every test that is to catch a fault fails on it."""
    assert fault.caught_by and set(fault.caught_by) <= set(TESTS)
    found = failures(fault.place, tmp_path, fault.caught_by)
    assert set(found) == set(fault.caught_by)
