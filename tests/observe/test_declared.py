"""Tools from a file: what can be declared, and what is refused, with the path to it."""

from __future__ import annotations

import json
import os

import pytest

from clawvm_es.errors import UnreadableInput
from clawvm_es.model.facts import ResourceClass
from clawvm_es.observe.declared import file_validator, load_tools
from clawvm_es.observe.steps import ToolUse
from clawvm_es.observe.tools import Kind, Role, Tool, effects

TOML = """
[[tools]]
name = "open_file"
deterministic = true
path = "where"
reads = ["file:{where}"]
ignores = ["why"]
validator = "file"
defaults = {limit = 100}
roles = {where = "path", why = "written"}

[[tools]]
name = "deploy"
kind = "opaque"

[[tools]]
name = "book"
writes = ["seat:{flight}:{seat}", "flights"]
invalidates = ["process"]
"""


def test_toml_and_json_declare_the_same(tmp_path):
    """Both forms give equal tools, whose effects follow from their arguments."""
    toml, as_json = tmp_path / "tools.toml", tmp_path / "tools.json"
    toml.write_text(TOML)
    reader, deploy, book = load_tools(toml)
    assert (reader.path, reader.ignores, reader.defaults) == ("where", ("why",), {"limit": 100})
    assert reader.roles == {"where": Role.PATH, "why": Role.WRITTEN}
    assert reader.validator is not None and reader.validator({"where": str(toml)}) is not None
    assert effects(reader, ToolUse(1, "open_file", {"where": "a"}, "/w")).reads == ((ResourceClass.FILE, "/w/a"),)
    assert deploy == Tool("deploy", kind=Kind.OPAQUE)
    done = effects(book, ToolUse(1, "book", {"flight": "F1", "seat": 7}))
    assert done.writes == ((ResourceClass.NETWORK, "seat:F1:7"), (ResourceClass.NETWORK, "flights"))
    assert done.invalidates == (ResourceClass.PROCESS,)
    told = [
        {"name": "deploy", "kind": "opaque"},
        {"name": "book", "writes": list(book.writes), "invalidates": ["process"]},
    ]
    as_json.write_text(json.dumps({"tools": told}))
    assert load_tools(as_json) == (deploy, book)


@pytest.mark.parametrize(
    ("declared", "problem"),
    [
        ({"tools": [{"name": "a"}, {"name": "b", "read": []}]}, r"extra fields found \(read\) at \$.tools\[1\]"),
        ({"tools": [{}]}, r"required field missing at \$.tools\[0\].name"),
        ({"tools": [{"name": 7}]}, r"expected str, got int at \$.tools\[0\].name"),
        ({"tools": [{"name": "a", "deterministic": "no"}]}, r"expected bool, got str at \$.tools\[0\].deterministic"),
        ({"tools": [{"name": "a", "reads": "file:{x}"}]}, r"an array of strings at \$.tools\[0\].reads"),
        ({"tools": [{"name": "a", "kind": "magic"}]}, r"'magic' is not a valid Kind at \$.tools\[0\].kind"),
        ({"tools": [{"name": "a", "roles": {"x": "?"}}]}, r"valid Role at \$.tools\[0\].roles\['x'\]"),
        ({"tools": [{"name": "a", "invalidates": ["sky"]}]}, r"ResourceClass at \$.tools\[0\].invalidates\[0\]"),
        ({"tools": [{"name": "a", "validator": "mtime"}]}, r"at \$.tools\[0\].validator"),
        ({"tools": [{"name": "a", "validator": "file"}]}, r"holds the path at \$.tools\[0\].path"),
        ({"tools": [{"name": "a"}, {"name": "a"}]}, r"'a' is declared twice at \$.tools\[1\].name"),
        ({"tools": 3}, r"at \$.tools"),
        ({"tool": []}, r"at \$"),
        ([], r"at \$"),
        ("not json", "Expecting value"),
    ],
)
def test_what_is_no_declaration_is_refused(tmp_path, declared, problem):
    """One line: the file, what is wrong, and where in it."""
    path = tmp_path / "tools.json"
    path.write_text(declared if isinstance(declared, str) else json.dumps(declared))
    with pytest.raises(UnreadableInput, match=problem) as caught:
        load_tools(path)
    assert str(path) in str(caught.value) and "\n" not in caught.value.message


def test_files_that_cannot_be_read(tmp_path):
    """A missing file, a folder and bytes that are no text are refused."""
    (tmp_path / "bytes.toml").write_bytes(b"\xff\xfe")
    for name in ("nowhere.toml", ".", "bytes.toml"):
        with pytest.raises(UnreadableInput):
            load_tools(tmp_path / name)


def test_a_file_that_cannot_be_looked_at_validates_nothing(tmp_path):
    """A validator tells a file by size, time and inode, and nothing of one that is not there."""
    path, validate = tmp_path / "a.py", file_validator("where")
    assert validate({"where": str(path)}) is None
    path.write_text("text")
    found = os.stat(path)
    assert validate({"where": str(path)}) == f"{found.st_size}:{found.st_mtime_ns}:{found.st_ino}"
    path.write_text("other text")
    assert validate({"where": str(path)}) != f"{found.st_size}:{found.st_mtime_ns}:{found.st_ino}"


@pytest.mark.parametrize("wrong", ["file:{path}", len], ids=["a text", "a function"])
@pytest.mark.parametrize("field", ["reads", "writes", "invalidates", "ignores"])
def test_what_must_be_a_series_is_refused_otherwise(field, wrong):
    """A text is no series of texts, though Python could take it for one."""
    with pytest.raises(TypeError, match="expected a series"):
        Tool("open", **{field: wrong})
