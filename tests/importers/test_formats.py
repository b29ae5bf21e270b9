"""The table of formats: a row for each file that reads one, and what a new one needs."""

from __future__ import annotations

import importlib
import pkgutil

import pytest

from clawvm_es import importers
from clawvm_es.importers import read_bytes
from clawvm_es.importers.format import Format
from clawvm_es.importers.formats import FORMATS, TABLE
from clawvm_es.importers.recording import Recording
from clawvm_es.importers.transcript import Transcript
from clawvm_es.model.events import PageWritten
from clawvm_es.observe.fields import Fields
from clawvm_es.observe.steps import Lines, UserMessage


def test_every_file_with_a_format_has_its_row():
    """A format whose row was forgotten is found, and each row has a name of its own."""
    names = [f"clawvm_es.importers.{module.name}" for module in pkgutil.iter_modules(importers.__path__)]
    rows = [row for name in names if (row := getattr(importlib.import_module(name), "FORMAT", None))]
    assert {row.name: row for row in rows} == dict(TABLE)
    assert len(rows) == len(TABLE) == len(FORMATS)


def test_a_row_without_its_parts_is_refused():
    """A row needs a name, a parser and the tools that its calls name."""
    with pytest.raises(TypeError, match="tools"):
        Format("toy", lambda data, name: ())  # type: ignore[call-arg]


def test_a_new_format_is_one_file_and_one_row(monkeypatch, translate):
    """With a row in the table, a file of a toy format is told by its content, read and translated."""

    def parse(data: bytes, name: str) -> tuple[Recording, ...]:
        into = Transcript()
        for number, line in enumerate(data.decode().splitlines()[1:], 1):
            into.say(UserMessage(line.strip('"'), Lines(number, number), number))
        return (into.recording("toy", "toy", name),)

    toy = Format("toy", parse, tools="pi", is_record=lambda record: "toy" in record)
    for module in ("clawvm_es.importers", "clawvm_es.importers.detect", "clawvm_es.importers.translate"):
        monkeypatch.setattr(importlib.import_module(module), "TABLE", {**TABLE, "toy": toy})
    (recording,) = read_bytes(b'{"toy": 1}\n"hello"\n"you"\n', "file")
    pages = [command.data for command in translate(recording) if isinstance(command.data, PageWritten)]
    assert recording.format == "toy" and [page.page_id for page in pages] == ["p1", "p2"]
    assert not any(row.is_record(Fields({"toy": 1})) for row in TABLE.values())
