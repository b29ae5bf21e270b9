"""The published schemas say what the event classes say, and never change."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import jsonschema
import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clawvm_es.engine.hooks import Settings
from clawvm_es.engine.journal import Journal
from clawvm_es.importers import trace, write_trace
from clawvm_es.limits import INTEGER_MAX
from clawvm_es.model.events import EVENT_TYPES
from clawvm_es.observe.tools import Tool
from clawvm_es.testing.strategies import values

ROOT = Path(__file__).resolve().parent.parent


def load_tool():
    """Import `tools/schemas.py`, which is a script and in no package."""
    spec = importlib.util.spec_from_file_location("schemas_tool", ROOT / "tools" / "schemas.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


TOOL = load_tool()


def validator(event_type: str) -> jsonschema.Draft202012Validator:
    """The validator of the published schema of an event type's current version."""
    path = ROOT / "schemas" / f"{event_type}.v{EVENT_TYPES[event_type].SCHEMA_VERSION}.json"
    return jsonschema.Draft202012Validator(json.loads(path.read_text(encoding="utf-8")))


def test_published_files_say_what_the_classes_say(capsys):
    """`--check` finds nothing on the files in the tree."""
    assert TOOL.main(["--check"]) == 0, capsys.readouterr().err


@pytest.mark.parametrize("name", ["page_used.v1.json", "session_opened.v8.json"])
def test_a_changed_file_is_an_error_and_stays(tmp_path, name):
    """A published file that differs fails the check, and writing refuses to overwrite it."""
    assert TOOL.main(["--folder", str(tmp_path)]) == 0
    assert TOOL.main(["--folder", str(tmp_path), "--check"]) == 0
    changed = (tmp_path / name).read_text(encoding="utf-8").replace('"string"', '"number"')
    (tmp_path / name).write_text(changed, encoding="utf-8")
    assert TOOL.main(["--folder", str(tmp_path), "--check"]) == 1
    assert TOOL.main(["--folder", str(tmp_path)]) == 1
    assert (tmp_path / name).read_text(encoding="utf-8") == changed


def test_a_missing_or_foreign_file_fails_the_check(tmp_path):
    """The check wants each file, and knows none that belongs to no event."""
    TOOL.main(["--folder", str(tmp_path)])
    (tmp_path / "page_used.v1.json").rename(tmp_path / "page_used.v2.json")
    missing, differing, unknown = TOOL.compare(tmp_path)
    assert (missing, differing, unknown) == (["page_used.v1.json"], [], ["page_used.v2.json"])
    assert TOOL.main(["--folder", str(tmp_path), "--check"]) == 1


@pytest.mark.parametrize("event_type", sorted(EVENT_TYPES))
def test_each_schema_is_valid_and_closed(event_type):
    """A schema passes its own dialect's check and refuses an unknown field, a float and a huge integer."""
    checker = validator(event_type)
    checker.check_schema(checker.schema)
    assert checker.schema["additionalProperties"] is False
    for node in walk(checker.schema):
        assert node.get("type") != "number"
        if node.get("type") == "integer":
            assert node["maximum"] == -node["minimum"] == INTEGER_MAX


def walk(node):
    """All objects inside a JSON value, itself included."""
    if isinstance(node, dict):
        yield node
        for value in node.values():
            yield from walk(value)


@pytest.mark.parametrize("event_type", sorted(EVENT_TYPES))
@settings(max_examples=15)
@given(data=st.data())
def test_every_event_satisfies_its_schema(event_type, data):
    """Whatever an event class can hold, written as JSON with or without its defaults, its schema accepts."""
    event = data.draw(values(EVENT_TYPES[event_type]))
    full = {name: json.loads(msgspec.json.encode(getattr(event, name))) for name in event.__struct_fields__}
    checker = validator(event_type)
    checker.validate(full)
    required = set(checker.schema["required"])
    defaults = {f.name: f.default for f in msgspec.structs.fields(event) if not f.required}
    checker.validate({k: v for k, v in full.items() if k in required or getattr(event, k) != defaults[k]})
    for name in required:
        assert not checker.is_valid({k: v for k, v in full.items() if k != name})
    assert not checker.is_valid({**full, "no_such_field": 1})


def test_every_line_of_a_trace_satisfies_its_schema(tmp_path):
    """A session that used every text field, written as a trace: each line is accepted, and none with a field more."""
    checker = jsonschema.Draft202012Validator(
        json.loads((ROOT / "schemas" / f"clawvm_trace.v{trace.VERSION}.json").read_text(encoding="utf-8"))
    )
    checker.check_schema(checker.schema)
    with Journal.open(tmp_path / "j.db", seed=1) as journal:
        session = journal.session(
            "one", counter="lines4", settings=Settings(tools=[Tool("add", run=lambda a: f"sum {a}")])
        )
        session.write_page("plan", "1. look", source="plan.md")
        session.assemble()
        session.tool("add", {"a": 1})
        session.tool("unheard_of", {"a": 1}, run=lambda a: "x")
        session.recall("what was it?", ["a memory"])
        session.stage("goal", "append", "x", evidence="p1")
        session.compact()
        session.close()
        lines = [
            json.loads(line) for line in write_trace("one", journal.log.read("one"), journal.log.vault("one").open)
        ]
    assert len(lines) > 12
    for line in lines:
        checker.validate(line)
        assert not checker.is_valid({**line, "more": 1})
    assert not checker.is_valid(json.loads(json.dumps(lines[2]).replace('{"text": "1. look"}', '"1. look"')))
