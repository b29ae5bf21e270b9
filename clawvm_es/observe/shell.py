"""Tell shell commands that only read from those that may write, by parsing the whole command line.

| part of a command line | only reads if |
|---|---|
| program | it is in `programs`, by plain name or from a system directory, and its arguments do not make it write |
| argument from `$x`, `$(…)`, a leading glob, `{a,b}` | no argument of that program can make it write |
| redirection | it reads, or goes to a descriptor, `/dev/null`, `/dev/stdout` or `/dev/stderr` |
| assignment | the variable changes no later program |
| `$(…)`, `<(…)`, `>(…)`, `( )`, `{ }`, `if`, `for`, `while`, `case`, `[[ ]]` | all commands in it do |
| function, `eval`, `source`, `alias`, `trap`, any other construct, a syntax error | never |

LAW-SHELL-READ-1: a command that this table does not cover may write.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from enum import StrEnum
from functools import cache, lru_cache
from typing import Final

from tree_sitter import Language, Node, Parser

from clawvm_es.observe.programs import PROGRAMS, WRAPPERS, Word, awk, git, sed

COMMAND_CHARS_MAX: Final = 65_536
"""A longer command line is not parsed: it may write."""
_NESTING_MAX: Final = 8


class Effect(StrEnum):
    """The strongest effect of a command line."""

    READS_FILES = "reads_files"
    """It reads files only: the same output until one of them changes."""
    READS_WORLD = "reads_world"
    """It reads what changes by itself: processes, clocks, users."""
    MAY_WRITE = "may_write"


_NODES: Final = (
    "program list pipeline redirected_statement subshell compound_statement if_statement elif_clause else_clause "
    "while_statement for_statement c_style_for_statement do_group case_statement case_item negated_command "
    "test_command unary_expression binary_expression parenthesized_expression postfix_expression ternary_expression "
    "word number string string_content raw_string ansi_c_string concatenation simple_expansion expansion "
    "variable_name special_variable_name subscript command_substitution process_substitution arithmetic_expansion "
    "heredoc_redirect heredoc_start heredoc_body heredoc_content heredoc_end herestring_redirect file_descriptor "
    "test_operator regex extglob_pattern array comment brace_expression command_name command variable_assignment "
    "file_redirect"
)
_STRUCTURE: Final = frozenset(_NODES.split())
"""Nodes of the parse tree that do nothing by themselves; what they hold is looked at."""
_NOT_ASCII: Final = re.compile(r"[^\x00-\x7f]")
"""Characters that no syntax of the shell has; the grammar's own scanner reads beyond a table at some of them."""
_SYSTEM: Final = re.compile(r"/(?:usr/(?:local/)?|opt/homebrew/)?bin/")
_OUTPUT: Final = re.compile(r"/dev/(?:null|stdout|stderr)|\d+|-")
_HARMLESS: Final = re.compile(r"LC_\w+|LANG|LANGUAGE|TZ|COLUMNS|LINES|NO_COLOR|CLICOLOR|TERM")
_OWN: Final = re.compile(r"\w*[a-z]\w*")
"""Names of variables that a script keeps to itself; programs listen to names in capitals."""
_EXPANDS: Final = re.compile(r"[*?\[]|[^'\"]*\{[^}]*(?:,|\.\.)")
"""The beginning of a word that may expand to an option: a glob in front, or braces with alternatives."""
_ESCAPED: Final = re.compile(r"\\(\n|.)", re.DOTALL)
_ESCAPED_QUOTED: Final = re.compile(r'\\([$`"\\\n])')


@lru_cache(maxsize=1024)
def effect(command: str) -> Effect:
    """The strongest effect of a command line; `MAY_WRITE` when in doubt."""
    if len(command) > COMMAND_CHARS_MAX:
        return Effect.MAY_WRITE
    if "\0" in command:
        return Effect.MAY_WRITE
    root = _parser().parse(_NOT_ASCII.sub("x", command).encode()).root_node
    if root.has_error:
        return Effect.MAY_WRITE
    effects = list(_effects(root))
    if Effect.MAY_WRITE in effects or not effects:
        return Effect.MAY_WRITE
    return Effect.READS_WORLD if Effect.READS_WORLD in effects else Effect.READS_FILES


@cache
def _parser() -> Parser:
    import tree_sitter_bash

    return Parser(Language(tree_sitter_bash.language()))


def _effects(root: Node) -> Iterator[Effect]:
    """The effects of all commands in a tree, with `MAY_WRITE` for every unknown construct."""
    waiting = [root]
    while waiting:
        node = waiting.pop()
        if node.is_named and not _harmless(node):
            yield Effect.MAY_WRITE
            return
        if node.type == "command":
            yield _command(node)
        elif node.type == "test_command":
            yield Effect.READS_FILES
        waiting.extend(node.children)


def _harmless(node: Node) -> bool:
    """True unless a node itself, apart from its children, may write."""
    if node.type == "file_redirect":
        return _redirect(node)
    if node.type == "variable_assignment":
        return _assignment(node)
    if node.type == "expansion":
        return "@P" not in _source(node)  # it would run what a variable holds
    return node.type in _STRUCTURE


def _redirect(node: Node) -> bool:
    """True for a redirection that reads, or that writes to no file."""
    operator = next(child.type for child in node.children if not child.is_named)
    target = node.child_by_field_name("destination")
    text = None if target is None else _literal(target)
    if operator == "<":
        return text is None or not text.startswith("/dev/")
    return text is not None and _OUTPUT.fullmatch(text) is not None


def _assignment(node: Node) -> bool:
    name = _source(node).partition("=")[0].removesuffix("+")
    before_command = node.parent is not None and node.parent.type == "command"
    if _HARMLESS.fullmatch(name):
        return True
    if name in ("PAGER", "GIT_PAGER"):
        value = node.child_by_field_name("value")
        return value is not None and _literal(value) == "cat"
    return not before_command and _OWN.fullmatch(name) is not None


def _command(node: Node) -> Effect:
    words: list[Word] = []
    for child in node.children:
        if child.type == "command_name":
            words.append(_literal(child.children[0]))
        elif child.is_named and child.type not in ("variable_assignment", "file_redirect", "herestring_redirect"):
            words.append(_literal(child))
    return _program(words)


def _program(words: list[Word], nesting: int = 0) -> Effect:
    """The effect of a program with its arguments."""
    if not words or words[0] is None or nesting > _NESTING_MAX:
        return Effect.MAY_WRITE
    name, arguments = _SYSTEM.sub("", words[0], count=1) if words[0].startswith("/") else words[0], words[1:]
    if name in WRAPPERS:
        inner = WRAPPERS[name].inner(arguments)
        return Effect.MAY_WRITE if not inner else _program(inner, nesting + 1)
    if name == "command" and arguments[:1] in (["-v"], ["-V"]):
        return Effect.READS_FILES
    if name == "env" and not arguments:
        return Effect.READS_WORLD
    if name in _SCRIPTED:
        return Effect.READS_FILES if _SCRIPTED[name](arguments) else Effect.MAY_WRITE
    program = PROGRAMS.get(name)
    if program is None or not program.reads(arguments):
        return Effect.MAY_WRITE
    return Effect.READS_FILES if program.stable else Effect.READS_WORLD


_SCRIPTED: Final = {"git": git, "sed": sed, "awk": awk, "gawk": awk, "mawk": awk}


def _literal(node: Node) -> Word:
    """The text of a word as the program gets it, with globs unexpanded; None if it may expand to anything."""
    source = _source(node)
    if node.type in ("word", "number", "test_operator"):
        if _EXPANDS.match(source):
            return None
        return _ESCAPED.sub(lambda found: "" if found[1] == "\n" else found[1], source)
    if node.type == "raw_string":
        return source[1:-1]
    if node.type == "string":
        if any(child.is_named and child.type != "string_content" for child in node.children):
            return None
        return _ESCAPED_QUOTED.sub(lambda found: "" if found[1] == "\n" else found[1], source[1:-1])
    if node.type == "concatenation":
        if _EXPANDS.match(source):
            return None
        parts = [_literal(child) for child in node.children]
        return None if None in parts else "".join(part for part in parts if part is not None)
    return None


def _source(node: Node) -> str:
    return (node.text or b"").decode("utf-8", "replace")  # a lone surrogate is cut into bytes that are no text
