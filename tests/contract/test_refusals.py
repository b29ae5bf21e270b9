"""What is said to misuse of a log is said word for word as it was: what was wrong, where, and what to do."""

from __future__ import annotations

import pytest

from clawvm_es import storage
from clawvm_es.storage.memory.log import MemoryLog
from tests.contract.refusals import golden, refusals


@pytest.mark.parametrize("kind", ["memory", "sqlite"])
def test_misuse_is_refused_word_for_word(tmp_path, kind):
    """The lines of `refusals.txt`; nothing of it is recorded."""

    def open_(**options):
        return MemoryLog() if kind == "memory" else storage.open_log(str(tmp_path / "j.db"), **options)

    assert list(refusals(open_, reads=kind != "memory")) == golden(kind)
