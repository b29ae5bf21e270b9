"""Languages with outlines: their tree-sitter grammars, and what counts as a definition in each.

Shell is left out: its scanner needs quadratic time on unbalanced here-documents.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

import attrs


@attrs.frozen
class Language:
    """A grammar's wheel and entry point, what counts as a definition, and what may hold further definitions."""

    module: str
    definitions: frozenset[str]
    containers: frozenset[str]
    entry: str = "language"


def _language(module: str, definitions: str, containers: str, entry: str = "language") -> Language:
    return Language(f"tree_sitter_{module}", frozenset(definitions.split()), frozenset(containers.split()), entry)


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

LANGUAGES: Final[Mapping[str, Language]] = MappingProxyType(
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
    }
)
"""File extension → language."""
