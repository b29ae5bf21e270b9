"""Generate `schemas/<type>.v<version>.json` from the event classes, and check that the files still say the same.

`schemas/clawvm_trace.v<version>.json` says what each line of a clawvm-trace is: an input with its texts inline.
`schemas/clawvm_recording.v<version>.json` says what each line of a recording is; what its `data` is, the schema of
its event type and version says.

    python tools/schemas.py           write the schemas of new event types and versions
    python tools/schemas.py --check   write nothing; exit 1 if a file is missing, differs, or belongs to no event

A published file never changes: where the classes say something else than the file of the same version, both
forms exit 1, and the way out is a new schema version with an upcaster. Descriptions are left out, so that
rewording a docstring changes no published file.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from pathlib import Path
from typing import Any

import msgspec

from clawvm_es.history import recording
from clawvm_es.importers import trace
from clawvm_es.journal.codec import COMMITMENT_FIELDS
from clawvm_es.limits import INTEGER_MAX
from clawvm_es.model.events import EVENT_TYPES, INPUTS, Event, PromptRendered

SCHEMAS = Path(__file__).resolve().parent.parent / "schemas"
DIALECT = "https://json-schema.org/draft/2020-12/schema"
TRACE = "clawvm_trace"
RECORDING = "clawvm_recording"
NAMING = {"Profile": ("name",), "Verdict": ("validator",)}
"""Component → its fields that hold declared names where fields of the same name elsewhere hold commitments."""
FILE_NAME = re.compile(r"(?P<type>[a-z_]+)\.v(?P<version>[1-9][0-9]*)\.json")


def strict(node: Any) -> Any:
    """Bound every integer, close every object, and drop what only describes."""
    if isinstance(node, list):
        return [strict(item) for item in node]
    if not isinstance(node, dict):
        return node
    out = {key: strict(value) for key, value in node.items() if key not in ("description", "title")}
    if node.get("type") == "integer":
        out |= {"minimum": -INTEGER_MAX, "maximum": INTEGER_MAX}
    if node.get("type") == "object":
        # A property may well be called `title` or `description`: keep all of them.
        out["properties"] = {name: strict(value) for name, value in node.get("properties", {}).items()}
        out["additionalProperties"] = False
    return out


def schema(event: type[Event]) -> dict[str, Any]:
    """Return the JSON Schema of the data of one event class, of its current version."""
    (root,), components = msgspec.json.schema_components([event], ref_template="#/$defs/{name}")
    definitions = {name: strict(component) for name, component in sorted(components.items())}
    body = definitions.pop(root["$ref"].rsplit("/", 1)[-1])
    out = {"$schema": DIALECT, "$id": f"{event.TYPE}.v{event.SCHEMA_VERSION}.json", "title": event.TYPE, **body}
    return {**out, "$defs": definitions} if definitions else out


def trace_schema() -> dict[str, Any]:
    """Return the JSON Schema of one line of a clawvm-trace: its header, or an input."""
    inputs = [event for event in INPUTS if event is not PromptRendered]
    _, components = msgspec.json.schema_components(inputs, ref_template="#/$defs/{name}")
    definitions = {
        name: inlined(component, NAMING.get(name, ()))
        for name, component in ((name, strict(component)) for name, component in sorted(components.items()))
    }
    name = {"type": "string"}
    header = closed(format={"const": "clawvm-trace"}, version={"const": trace.VERSION}, session_id=name)
    lines = [
        closed(
            type={"const": event.TYPE},
            schema_version={"const": event.SCHEMA_VERSION},
            at_us=strict({"type": "integer"}),
            principal=name,
            data={"$ref": f"#/$defs/{event.__name__}"},
        )
        for event in inputs
    ]
    body = {"oneOf": [closed(text=name), closed(absent={"const": True})]}
    return {
        "$schema": DIALECT,
        "$id": f"{TRACE}.v{trace.VERSION}.json",
        "title": TRACE,
        "oneOf": [header, *lines],
        "$defs": {**definitions, "Body": body},
    }


def recording_schema() -> dict[str, Any]:
    """Return the JSON Schema of one line of a recording: its header, or an event of any type."""
    (header, line), components = msgspec.json.schema_components(
        [recording.Header, recording.Line], ref_template="#/$defs/{name}"
    )
    definitions = {name: strict(component) for name, component in sorted(components.items())}
    definitions["Header"]["properties"] |= {
        "format": {"const": recording.FORMAT},
        "version": {"const": recording.VERSION},
    }
    definitions["Line"]["properties"]["data"] = {"type": "object"}
    return {
        "$schema": DIALECT,
        "$id": f"{RECORDING}.v{recording.VERSION}.json",
        "title": RECORDING,
        "oneOf": [header, line],
        "$defs": definitions,
    }


def closed(**properties: Any) -> dict[str, Any]:
    """Return the schema of an object with exactly these properties."""
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def inlined(component: dict[str, Any], declared: tuple[str, ...] = ()) -> dict[str, Any]:
    """Return a component with bodies where an event has commitments, but in its `declared` fields."""
    body = {"$ref": "#/$defs/Body"}
    properties = {
        name: {**value, "items": body}
        if name == "commitments"
        else body
        if name in COMMITMENT_FIELDS and name not in declared
        else value
        for name, value in component.get("properties", {}).items()
    }
    return {**component, "properties": properties} if properties else component


def generated() -> dict[str, str]:
    """Return the text of every schema file of the current versions, by file name."""
    schemas = [*map(schema, EVENT_TYPES.values()), trace_schema(), recording_schema()]
    return {found["$id"]: json.dumps(found, indent=2, sort_keys=True) + "\n" for found in schemas}


def is_known(name: str) -> bool:
    """Whether a file is the schema of a known event type or format, of the current version or an older one."""
    match = FILE_NAME.fullmatch(name)
    current = {name: event.SCHEMA_VERSION for name, event in EVENT_TYPES.items()}
    current |= {TRACE: trace.VERSION, RECORDING: recording.VERSION}
    return match is not None and int(match["version"]) <= current.get(match["type"], 0)


def compare(folder: Path) -> tuple[list[str], list[str], list[str]]:
    """Return the names of files that are missing, that differ from the classes, and that belong to no event."""
    wanted = generated()
    present = {path.name for path in folder.glob("*.json")}
    missing = sorted(wanted.keys() - present)
    differing = sorted(
        name for name in wanted.keys() & present if (folder / name).read_text(encoding="utf-8") != wanted[name]
    )
    return missing, differing, sorted(name for name in present if not is_known(name))


def main(arguments: list[str] | None = None) -> int:
    """Write or check the schema files; return the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--check", action="store_true", help="write nothing, exit 1 if anything differs")
    parser.add_argument("--folder", type=Path, default=SCHEMAS, help="where the schema files are")
    options = parser.parse_args(arguments)
    missing, differing, unknown = compare(options.folder)
    for name in differing:
        print(
            f"{name}: published, but the class now differs: restore it, or make a new schema version", file=sys.stderr
        )
    for name in unknown:
        print(f"{name}: the schema of no known event type and version", file=sys.stderr)
    if options.check:
        for name in missing:
            print(f"{name}: missing; `python tools/schemas.py` writes it", file=sys.stderr)
        return 1 if missing or differing or unknown else 0
    texts = generated()
    for name in missing:
        (options.folder / name).write_text(texts[name], encoding="utf-8")
        print(f"wrote {name}")
    return 1 if differing or unknown else 0


if __name__ == "__main__":
    sys.exit(main())
