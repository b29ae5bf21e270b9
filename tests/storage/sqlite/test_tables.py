"""Tables of read models: sqlite-utils makes them, and is not loaded where they are there already."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from clawvm_es.projections.tables import MODELS
from clawvm_es.storage.sqlite import text_index
from clawvm_es.storage.sqlite.editions import LIVE, NEXT
from clawvm_es.storage.sqlite.foreign import definitions
from clawvm_es.storage.sqlite.models import _create, tables


@pytest.mark.parametrize("prefix", [LIVE, NEXT])
def test_they_are_what_sqlite_utils_makes(prefix: str) -> None:
    """What an open compares with is that to the byte: a table is read only where it is defined so."""
    with closing(sqlite3.connect(":memory:")) as ours, closing(sqlite3.connect(":memory:")) as theirs:
        for statement in tables(MODELS, prefix):
            ours.execute(statement)
        text_index.create(ours, prefix)
        _create(theirs, MODELS, prefix)
        assert definitions(ours) == definitions(theirs)


def test_reading_and_filling_them_loads_no_more(tmp_path: Path) -> None:
    """What takes a tenth of a second to load is loaded by none of it, once the tables are there."""
    code = """import sys
from clawvm_es.engine.journal import Journal
with Journal.open(sys.argv[1]) as journal, journal.session("s", counter="lines4") as session:
    session.user_says("hello")
print([name for name in ("sqlite_utils", "structlog", "asyncio") if name in sys.modules])"""
    command = [sys.executable, "-c", code, str(tmp_path / "j.db")]
    runs = [subprocess.run(command, capture_output=True, check=True) for _ in range(2)]
    assert [run.stdout.split() for run in runs] == [[b"['sqlite_utils']"], [b"[]"]]
