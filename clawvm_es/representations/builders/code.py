"""Levels for source code: outlines with line numbers, then whole small definitions.

Definitions come from tree-sitter, whose parsers go on after errors, so files that a tool cut off have outlines too.
Line-number gutters (``12→``) are kept; where there are none, structured levels get them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from importlib import import_module
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

import attrs

from clawvm_es.model.pages import Fidelity
from clawvm_es.representations.builders.extract import (
    clipped,
    compressed_aim,
    pointer_line,
    rendered,
    select,
    spread,
    structured_aim,
)

if TYPE_CHECKING:
    from tree_sitter import Node, Parser


@attrs.frozen
class _Language:
    """A grammar's wheel and entry point, what counts as a definition, and what may hold further definitions."""

    module: str
    definitions: frozenset[str]
    containers: frozenset[str]
    entry: str = "language"


def _language(module: str, definitions: str, containers: str, entry: str = "language") -> _Language:
    return _Language(f"tree_sitter_{module}", frozenset(definitions.split()), frozenset(containers.split()), entry)


_JS_DEFINITIONS = (
    "function_declaration generator_function_declaration class_declaration method_definition lexical_declaration "
    "variable_declaration"
)
_JS_CONTAINERS = "program export_statement class_declaration class_body"
_TS_DEFINITIONS = (
    f"{_JS_DEFINITIONS} interface_declaration type_alias_declaration enum_declaration abstract_class_declaration "
    "function_signature method_signature abstract_method_signature public_field_definition module internal_module"
)
_TS_CONTAINERS = (
    f"{_JS_CONTAINERS} abstract_class_declaration ambient_declaration module internal_module statement_block "
    "expression_statement"
)
_C_DEFINITIONS = (
    "function_definition struct_specifier enum_specifier union_specifier type_definition preproc_def declaration"
)
_C_CONTAINERS = "translation_unit preproc_ifdef preproc_if preproc_else linkage_specification declaration_list"

_GO = _language(
    "go",
    "package_clause function_declaration method_declaration type_declaration const_declaration var_declaration",
    "source_file",
)
_PYTHON = _language(
    "python",
    "function_definition class_definition",
    "module class_definition block decorated_definition if_statement try_statement",
)
_JAVASCRIPT = _language("javascript", _JS_DEFINITIONS, _JS_CONTAINERS)
_TYPESCRIPT = _language("typescript", _TS_DEFINITIONS, _TS_CONTAINERS, "language_typescript")
_TSX = _language("typescript", _TS_DEFINITIONS, _TS_CONTAINERS, "language_tsx")
_RUST = _language(
    "rust",
    "function_item function_signature_item struct_item enum_item union_item trait_item impl_item mod_item "
    "macro_definition const_item static_item type_item",
    "source_file impl_item trait_item mod_item declaration_list",
)
_JAVA = _language(
    "java",
    "class_declaration interface_declaration enum_declaration record_declaration annotation_type_declaration "
    "method_declaration constructor_declaration",
    "program class_declaration interface_declaration enum_declaration record_declaration class_body interface_body "
    "enum_body enum_body_declarations",
)
_C = _language("c", _C_DEFINITIONS, _C_CONTAINERS)
_CPP = _language(
    "cpp",
    f"{_C_DEFINITIONS} class_specifier namespace_definition template_declaration alias_declaration field_declaration",
    f"{_C_CONTAINERS} namespace_definition class_specifier struct_specifier field_declaration_list "
    "template_declaration",
)
_RUBY = _language(
    "ruby",
    "method singleton_method class module singleton_class",
    "program class module singleton_class body_statement",
)
_BASH = _language("bash", "function_definition variable_assignment", "program")

LANGUAGES: Final[Mapping[str, _Language]] = MappingProxyType(
    {
        "go": _GO,
        **dict.fromkeys(("py", "pyi"), _PYTHON),
        **dict.fromkeys(("js", "jsx", "mjs", "cjs"), _JAVASCRIPT),
        **dict.fromkeys(("ts", "mts", "cts"), _TYPESCRIPT),
        "tsx": _TSX,
        "rs": _RUST,
        "java": _JAVA,
        **dict.fromkeys(("c", "h"), _C),
        **dict.fromkeys(("cc", "cpp", "cxx", "hh", "hpp"), _CPP),
        "rb": _RUBY,
        **dict.fromkeys(("sh", "bash"), _BASH),
    }
)
"""File extension → language."""

_GUTTER = re.compile(r"\s{0,8}\d{1,7}(?:→|\t)")
_EXTENSION = re.compile(r"[\w)\]-]\.([A-Za-z]{1,5})(?=$|[\s\"',;:)}\]])")
_SIGNATURE_LINES = 6
_STRUCTURED_LINE_CHARS = 200
_PARSED_CHARS = 1 << 18  # beyond this, only the head has an outline
_DEPTH = 6


def extension(source: str) -> str:
    """Lower-case extension of the first path in `source` that has a language, else an empty string."""
    found = (match[1].lower() for match in _EXTENSION.finditer(source))
    return next((name for name in found if name in LANGUAGES), "")


def has_gutter(lines: Sequence[str]) -> bool:
    """Whether most of the first lines start with a line number and ``→`` or a tab, as file viewers print."""
    probe = lines[:40]
    return sum(1 for line in probe if _GUTTER.match(line)) * 2 > len(probe)


@cache
def _parser(language: _Language) -> Parser:
    from tree_sitter import Language, Parser

    return Parser(Language(getattr(import_module(language.module), language.entry)()))


@attrs.frozen
class _Definition:
    """Line indices of a definition: first, last of its signature, last; and how deep it is nested."""

    first: int
    signature: int
    last: int
    depth: int


def _definitions(code: str, language: _Language) -> list[_Definition]:
    tree = _parser(language).parse(code.encode("utf-8", "replace"))
    return list(_walk(tree.root_node, language, 0, 0))


def _walk(node: Node, language: _Language, depth: int, level: int) -> Iterator[_Definition]:
    """Definitions under `node` in the order of the text; `depth` counts enclosing definitions."""
    for child in node.named_children:
        first, last, inside = child.start_point[0], child.end_point[0], depth
        if child.type in language.definitions:
            body = child.child_by_field_name("body")
            end = body.start_point[0] if body else first
            yield _Definition(first, min(end, first + _SIGNATURE_LINES - 1), last, depth)
            inside += 1
        if (child.type in language.containers or child.type == "ERROR") and level < _DEPTH:
            yield from _walk(child, language, inside, level + 1)


class CodeBuilder:
    """Structured: signatures, outermost first. Compressed: signatures, then the smallest definitions whole."""

    name: Final = "code/1"

    def __init__(self, extension: str) -> None:
        self._language = LANGUAGES[extension]

    def build(self, text: str, source: str) -> Mapping[Fidelity, str]:
        """All three levels; code without a definition keeps its ends."""
        lines = text.split("\n")
        gutter = has_gutter(lines)
        definitions = _definitions(_without_gutter(lines) if gutter else text[:_PARSED_CHARS], self._language)
        compressed = select(lines, _compressed_order(lines, definitions), compressed_aim(text))
        return {
            Fidelity.COMPRESSED: rendered(lines, compressed),
            Fidelity.STRUCTURED: "\n".join(_structured(lines, definitions, structured_aim(text), gutter)),
            Fidelity.POINTER: pointer_line(text, source),
        }


def _without_gutter(lines: Sequence[str]) -> str:
    """The code alone, line by line; lines without a number (what a tool said around the file) are left empty."""
    stripped = []
    left = _PARSED_CHARS
    for line in lines:
        found = _GUTTER.match(line)
        stripped.append(line[found.end() :] if found else "")
        left -= len(line)
        if left < 0:
            break
    return "\n".join(stripped)


def _signatures(definitions: Sequence[_Definition]) -> Iterator[int]:
    for definition in sorted(definitions, key=lambda d: (d.depth, d.first)):
        yield from range(definition.first, definition.signature + 1)


def _compressed_order(lines: Sequence[str], definitions: Sequence[_Definition]) -> Iterator[int]:
    yield from _signatures(definitions)
    for definition in sorted(definitions, key=lambda d: (d.last - d.first, d.first)):
        yield from range(definition.first, definition.last + 1)
    yield from spread(len(lines))


def _structured(lines: Sequence[str], definitions: Sequence[_Definition], aim: int, gutter: bool) -> Iterator[str]:
    order = _signatures(definitions) if definitions else spread(len(lines))
    kept = select(lines, order, aim, _STRUCTURED_LINE_CHARS)
    for index in sorted(kept):
        line = clipped(lines[index], _STRUCTURED_LINE_CHARS)
        yield line if gutter else f"{index + 1}→{line}"
