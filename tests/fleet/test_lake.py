"""Lakes: journals as Parquet files without texts, and questions over all of them."""

from __future__ import annotations

import json

import pytest

from clawvm_es.cli.main import main
from clawvm_es.engine.hooks import Settings
from clawvm_es.engine.journal import Journal
from clawvm_es.engine.store import FieldSchema
from clawvm_es.errors import ClawVMError, UnreadableInput, UsageError
from clawvm_es.journal.ports import Column
from clawvm_es.storage.lake import files
from clawvm_es.storage.lake.questions import QUESTIONS
from clawvm_es.testing import FakeClock
from clawvm_es.views.lake import SCHEMA, catalogue, to_lake

pytest.importorskip("duckdb", reason="there is no duckdb here (pip install 'clawvm-es[catalogue]')")

SETTINGS = Settings(fields={"notes": FieldSchema()})
CANARY = "canary-yellowhammer-4711"


def journal_at(path, sessions=1):
    """A journal with some sessions that say the canary; its tables."""
    with Journal.open(path, clock=FakeClock()) as journal:
        for n in range(sessions):
            with journal.session(f"s{n}", counter="lines4", project="app", settings=SETTINGS) as session:
                session.user_says(f"{CANARY} {n}")
                session.write_page("constraint", f"- Keep {CANARY}.")
                session.stage("notes", "append", CANARY, evidence=session.user_says("why"))
                session.assemble()
                session.flush()
    return path


@pytest.fixture(scope="module")
def lake(tmp_path_factory):
    """A lake of two journals, of one and of three sessions."""
    folder = tmp_path_factory.mktemp("lake")
    for n in (1, 3):
        with Journal.open(journal_at(folder / f"{n}.db", n), read_only=True) as journal:
            found = to_lake(journal.log, str(folder / "lake"))
            assert found["rows"]["sessions"] == n and set(found["rows"]) == set(SCHEMA)
    return folder / "lake"


def test_a_lake_says_what_its_journals_say(lake):
    """Rows and types are those of the journals, one row group a journal; every table has a file for each."""
    import duckdb

    assert catalogue(str(lake), "SELECT count(*), count(DISTINCT journal_id) FROM sessions")["rows"] == [[4, 2]]
    for path in (lake.parent / "1.db", lake.parent / "3.db"):
        with Journal.open(path, read_only=True) as journal:
            stored = [each.raw.decode() for each in journal.log.read_all()]
            query = f"SELECT data FROM events WHERE journal_id = '{journal.log.journal_id}' ORDER BY seq"
            assert [row[0] for row in catalogue(str(lake), query)["rows"]] == stored
    for name, columns in SCHEMA.items():
        written = sorted((lake / name).glob("*.parquet"))
        assert len(written) == 2
        for path in written:
            query = f"SELECT count(DISTINCT row_group_id) FROM parquet_metadata('{path}')"
            ((groups,),) = duckdb.sql(query).fetchall()
            types = duckdb.sql(f"DESCRIBE SELECT * FROM '{path}'").fetchall()
            assert groups <= 1 and [each[0] for each in types] == ["journal_id", *(c.name for c in columns)]
            wanted = ["VARCHAR", *({str: "VARCHAR", int: "BIGINT", bool: "BOOLEAN"}[c.type] for c in columns)]
            assert [each[1] for each in types] == wanted


def test_no_text_is_in_a_lake(lake):
    """LAW-LAKE-1: neither in clear in a file nor in any cell."""
    assert not [path for path in lake.rglob("*") if path.is_file() and b"yellowhammer" in path.read_bytes()]
    for name in SCHEMA:
        rows = catalogue(str(lake), f"SELECT * FROM {name}")["rows"]
        assert not any("yellowhammer" in str(cell) for row in rows for cell in row)


@pytest.mark.parametrize("question", sorted(QUESTIONS))
def test_ready_questions_are_answered(lake, question):
    """Each ready question runs, also over a lake of no rows, and has columns."""
    found = catalogue(str(lake), question)
    assert found["columns"] and (question != "events" or found["rows"])


def test_a_lake_of_no_rows_has_its_columns(tmp_path):
    """LAW-LAKE-2: a journal without a session gives every table, without rows."""
    with Journal.open(tmp_path / "j.db") as journal:
        to_lake(journal.log, str(tmp_path / "lake"))
    assert catalogue(str(tmp_path / "lake"), "faults")["rows"] == []
    assert catalogue(str(tmp_path / "lake"), "SELECT turn + 1, project IS NULL FROM turns, sessions")["rows"] == []


def test_an_export_replaces_the_one_before(tmp_path):
    """The same journal again is there once, as it is now."""
    path = journal_at(tmp_path / "j.db")
    for sessions in (1, 2):
        journal_at(path, sessions)
        with Journal.open(path, read_only=True) as journal:
            to_lake(journal.log, str(tmp_path / "lake"))
        found = catalogue(str(tmp_path / "lake"), "SELECT count(*) FROM sessions")
        assert found["rows"] == [[sessions]]


def test_files_of_two_schemas_are_one_table(tmp_path):
    """A file of an older export lacks a column: its rows are NULL there."""
    old, new = [Column("a", int, False)], [Column("a", int, False), Column("b", str, True)]
    files.write(str(tmp_path / "lake"), "one", {"t": old}, {"t": [(1,)]})
    files.write(str(tmp_path / "lake"), "two", {"t": new}, {"t": [(2, "x")]})
    assert files.ask(str(tmp_path / "lake"), "SELECT a, b FROM t ORDER BY a", {"t": new})[1] == [(1, None), (2, "x")]


@pytest.mark.parametrize(
    "query",
    [
        "SELECT nothing FROM sessions",
        "SELEC",
        "SELECT * FROM '/etc/passwd'",
        "SELECT * FROM read_csv('/etc/passwd')",
        "COPY sessions TO 'never.csv'",
        "SET enable_external_access = true",
        "ATTACH 'never.db'",
    ],
)
def test_a_query_that_cannot_be_answered_is_one_line(lake, query):
    """Wrong SQL, and SQL that wants other files than the lake's, is wrong usage."""
    with pytest.raises(ClawVMError) as caught:
        catalogue(str(lake), query)
    assert len(str(caught.value).splitlines()) == 1


def test_what_is_no_lake_is_refused(tmp_path):
    """A folder without a lake, one of other files, and a lake of a later format."""
    with pytest.raises(UnreadableInput, match="no lake here"):
        catalogue(str(tmp_path), "events")
    (tmp_path / "other").write_text("x")
    with pytest.raises(UsageError, match="other files"):
        files.write(str(tmp_path), "j", {}, {})
    (tmp_path / files.MARK).write_text('{"format": 99}')
    with pytest.raises(UnreadableInput, match="format 99"):
        catalogue(str(tmp_path), "events")


def test_the_verbs(tmp_path, capsys):
    """`export --as parquet` and `catalogue`, in text and JSON; wrong usage is one line."""
    path = journal_at(tmp_path / "j.db")

    def run(*arguments):
        capsys.readouterr()
        with pytest.raises(SystemExit) as left:
            main([str(each) for each in arguments])
        return left.value.code, *capsys.readouterr()

    lake = tmp_path / "lake"
    assert run("export", path, "--as", "parquet", "-o", lake)[0] == 0
    code, out, _ = run("catalogue", lake, "SELECT session_id FROM sessions", "--json")
    assert code == 0 and json.loads(out)["rows"] == [["s0"]]
    assert "rules-missing" in run("catalogue", lake)[1] and "\n1 row\n" in run("catalogue", lake, "cost")[1]
    for wrong in (
        ("export", path, "--as", "parquet"),
        ("export", path, "-o", tmp_path),
        ("catalogue", tmp_path, "x"),
    ):
        code, _, err = run(*wrong)
        assert code == 2 and len(err.splitlines()) == 1


def test_a_long_table_is_written_in_groups(tmp_path, monkeypatch):
    """Memory does not grow with a journal: its rows go in groups, in their order, however long one of them is."""
    import duckdb

    monkeypatch.setattr(files, "GROUP_MAX", 2_048)
    tables = {"texts": (Column("n", int, False), Column("text", str, True))}
    rows = [(n, "x" * 3_000_000 if n == 4_000 else None) for n in range(5_000)]
    assert files.write(str(tmp_path), "one", tables, {"texts": iter(rows)}) == {"texts": 5_000}
    path = tmp_path / "texts" / "one.parquet"
    query = f"SELECT DISTINCT row_group_id, row_group_num_rows FROM parquet_metadata('{path}') ORDER BY ALL"
    assert duckdb.sql(query).fetchall() == [(0, 2_048), (1, 2_048), (2, 904)]
    assert duckdb.sql(f"SELECT n, text FROM '{path}'").fetchall() == rows


@pytest.mark.parametrize(
    ("rows", "groups"),
    [(0, []), (1, [1]), (2_048, [2_048]), (5_000, [5_000]), (20_480, [20_480]), (20_481, [20_480, 1])],
)
def test_a_table_that_fits_is_one_group(tmp_path, rows, groups) -> None:
    """Up to ten times 2,048 rows stand in one group, and what goes beyond stands in the next."""
    import duckdb

    tables = {"t": (Column("n", int, False),), "without": (Column("n", int, False),)}
    assert files.write(str(tmp_path), "one", tables, {"t": ((n,) for n in range(rows))}) == {"t": rows, "without": 0}
    path = tmp_path / "t" / "one.parquet"
    query = f"SELECT DISTINCT row_group_id, row_group_num_rows FROM parquet_metadata('{path}') ORDER BY ALL"
    assert [count for _, count in duckdb.sql(query).fetchall()] == groups
    assert files.ask(str(tmp_path), "SELECT count(*) FROM without", tables) == (["count_star()"], [(0,)])


def test_the_mark_of_a_lake_says_its_format(tmp_path) -> None:
    """It is written once, first, and other files are kept out only where it is missing."""
    files.write(str(tmp_path / "lake"), "one", {}, {})
    assert (tmp_path / "lake" / "lake.json").read_bytes() == b'{"format":1,"manifests":true}\n'
    (tmp_path / "lake" / "notes.txt").write_text("x")
    files.write(str(tmp_path / "lake"), "two", {}, {})
