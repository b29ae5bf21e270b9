"""Read models in a file: their position, and what is wrong with them, in words."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest

from clawvm_es.errors import JournalBusy
from clawvm_es.journal.ports import Edition
from clawvm_es.projections import catch_up, store
from clawvm_es.projections.tables import MODELS
from clawvm_es.storage import open_log
from clawvm_es.testing.logs import budget


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A journal of five events with read models over them."""
    path = tmp_path_factory.mktemp("models") / "j.db"
    with open_log(path) as log:
        log.append("s", [budget(n) for n in range(1, 6)])
        catch_up(log)
    return path


TABLE = MODELS.tables[0].name


@pytest.mark.parametrize(
    ("change", "problems", "position"),
    [
        (None, [], 5),
        ("UPDATE projections SET seq = 6", ["stand at seq 6, beyond the last event 5"], 6),
        ("UPDATE projections SET seq = 0", [], 0),
        ("UPDATE projections SET seq = -1", ["stand at seq -1, before the first, up to 5"], None),
        ("UPDATE projections SET version = version + 1", [], None),
        ("DELETE FROM projections", [], None),
        ("DROP TABLE projections", [], None),
        ("ALTER TABLE projections ADD COLUMN more TEXT", ["projections is defined otherwise than expected"], None),
        (f"ALTER TABLE {TABLE} ADD COLUMN more TEXT", [f"{TABLE} is defined otherwise than expected"], None),
        (f"DROP TABLE {TABLE}", [f"{TABLE} is missing"], None),
        (f"DROP TABLE {TABLE}; UPDATE projections SET seq = 6", [f"{TABLE} is missing"], None),
    ],
)
def test_what_is_wrong_with_read_models_is_named(made, tmp_path, change, problems, position) -> None:
    """A position that no log gives and a table that is not as made are problems; another version is none."""
    path = tmp_path / "j.db"
    path.write_bytes(made.read_bytes())
    if change:
        with closing(sqlite3.connect(path, isolation_level=None)) as db:
            db.execute("PRAGMA legacy_alter_table=ON")
            db.executescript(change)
    with open_log(path, read_only=True) as log, log.models(MODELS).reading() as reader:
        assert [each for each in reader.problems() if "autoindex" not in each] == problems
        assert reader.position() == position and reader.last_seq() == 5
        assert reader.position(Edition.NEXT) is None


def test_read_models_that_lack_nothing_wait_for_no_writer(made, tmp_path) -> None:
    """Whoever only reads closes a journal while another program writes to it; with an event to fold, it waits."""
    path = tmp_path / "j.db"
    path.write_bytes(made.read_bytes())
    with open_log(path) as writer, open_log(path, wait_s=0) as log:
        with writer.transaction():
            catch_up(log)
        writer.append("s", [budget(6)])
        with writer.transaction(), pytest.raises(JournalBusy):
            catch_up(log)


def test_a_rebuild_has_a_position_of_its_own(made, tmp_path) -> None:
    """The next edition begins at nought beside the live one, and takes its place with its own position."""
    path = tmp_path / "j.db"
    path.write_bytes(made.read_bytes())
    with open_log(path) as log:
        with log.models(MODELS).writing() as writer:
            store.begin(writer)
            assert (writer.position(Edition.NEXT), writer.position()) == (0, 5)
            writer.write(Edition.NEXT, (), 3)
            while not writer.index_texts(Edition.NEXT):
                pass
            writer.switch()
        with log.models(MODELS).reading() as reader:
            assert (reader.position(Edition.NEXT), reader.position(), reader.problems()) == (None, 3, [])
            assert [row[0] for row in reader.events(1, 3)] == [2, 3]
            assert [reader.next_input(after) for after in (0, 4, 5)] == [1, 5, None]
