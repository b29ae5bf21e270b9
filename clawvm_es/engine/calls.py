"""Tool calls at the edge: their facts, the pages of their results, and results that are served again."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import attrs

from clawvm_es.core.state import Page, State
from clawvm_es.engine.edge import encode
from clawvm_es.engine.shell import Shell
from clawvm_es.engine.signatures import signature_key
from clawvm_es.engine.tools import UNKNOWN, Tool
from clawvm_es.model import events as e
from clawvm_es.model.facts import Holder, Need, NeedRule, ResourceClass, ReturnStatus
from clawvm_es.model.pages import Author, Origin, OriginKind, PageType


@attrs.frozen
class Stored:
    """A recorded result that is known to hold still: its page, its text, and the event that recorded it."""

    page: Page
    text: str
    version: int


@attrs.frozen
class Touched:
    """A tool and the resource keys that one call of it reads and writes."""

    tool: Tool
    reads: tuple[tuple[ResourceClass, str], ...]
    writes: tuple[tuple[ResourceClass, str], ...]


class ToolCalls:
    """Turns calls and results of declared (and unknown) tools into facts for one session."""

    def __init__(self, shell: Shell, tools: Mapping[str, Tool]) -> None:
        self._shell = shell
        self._tools = tools

    def tool(self, name: str) -> Tool:
        """The declared tool of that name, else the unknown tool."""
        return self._tools.get(name, UNKNOWN)

    def called(
        self, number: int, name: str, arguments: Mapping[str, Any], stored: Stored | None = None
    ) -> e.ToolCalled:
        """The facts of a call; with `stored`, of one that is served from a recorded result."""
        edge = self._shell.edge
        touched = self._touched(name, arguments)
        signature: tuple[int | None, str | None] = (None, None)
        if not touched.tool.planning:
            signature = edge.signature(_signature(name, touched.tool, arguments))
        reads, new_reads = edge.resources(touched.reads)
        writes, new_writes = edge.resources(touched.writes)
        needs: tuple[Need, ...] = ()
        if stored is not None:
            holder = Holder(stored.page.page_id)
            needs = (Need((holder,), NeedRule.REPEATED_READ, stored.page.full_tokens),)
        return e.ToolCalled(
            call=number,
            tool=touched.tool.name,
            arguments=edge.text(as_json(arguments)),
            name=edge.text(name) if touched.tool.name == e.UNKNOWN_TOOL else None,
            signature=signature[0],
            signature_key=signature[1],
            deterministic=touched.tool.deterministic,
            resources=new_reads + new_writes,
            reads=reads,
            writes=writes,
            invalidates=touched.tool.invalidates,
            needs=needs,
            served_from=stored.version if stored else None,
        )

    def _touched(self, name: str, arguments: Mapping[str, Any]) -> Touched:
        """What a call touches; arguments that its declaration cannot take make it a call of unknown effect."""
        tool = self.tool(name)
        try:
            return Touched(tool, tuple(tool.reads(arguments)), tuple(tool.writes(arguments)))
        except Exception:  # the harness's code, on arguments that a model made up
            return Touched(attrs.evolve(tool, deterministic=False, invalidates=tuple(ResourceClass)), (), ())

    def validator(self, name: str, arguments: Mapping[str, Any]) -> str | None:
        """What must hold for a result to be served again, as of now; None if that cannot be told."""
        tool = self.tool(name)
        try:
            return tool.validator(arguments) if tool.validator else None
        except Exception:  # as above
            return None

    def stored(self, state: State, name: str, arguments: Mapping[str, Any], validator: str | None) -> Stored | None:
        """The recorded result of the same call, if nothing that it read was written and its validator agrees."""
        tool = self.tool(name)
        if not tool.deterministic or validator is None:
            return None
        ordinal = self._shell.edge.signatures.of.get(_signature(name, tool, arguments))
        earlier = state.valid_call(ordinal)
        if earlier is None or earlier.returned is None or earlier.page_id is None:
            return None
        page = state.pages[earlier.page_id]
        if not state.holdable(page) or self._shell.edge.open(earlier.returned.validator) != validator:
            return None
        text = self._shell.edge.open(earlier.returned.result)
        return None if text is None else Stored(page, text, earlier.returned.version)

    def returned(
        self,
        state: State,
        call: int,
        text: str,
        status: ReturnStatus,
        validator: str | None = None,
        source: str = "",
    ) -> tuple[e.ToolReturned, e.PageWritten]:
        """The facts of a result, and its evidence page."""
        edge = self._shell.edge
        made = state.calls.get(call)
        page = edge.page(
            f"p{len(state.pages) + 1}",
            PageType.EVIDENCE,
            text,
            author=Author.TOOL,
            origin=Origin(OriginKind.TOOL_CALL, call=call),
            source=source,
            signature=made.signature if made else None,
        )
        returned = e.ToolReturned(
            call=call,
            status=status,
            size_bytes=len(encode(text)),
            result=page.event.levels[0].body,
            validator=edge.text(validator) if validator is not None else None,
            unmatched=made is None,
        )
        return returned, page.event


def as_json(arguments: Mapping[str, Any]) -> str:
    """Arguments as text, keys sorted; what JSON cannot say is said by `str`."""
    text: str = json.dumps(arguments, sort_keys=True, ensure_ascii=False, default=str)
    return text


def source_of(name: str, arguments: Mapping[str, Any]) -> str:
    """The line that names a result's page: the tool and its arguments."""
    return f"{name} {as_json(arguments)}"


def _signature(name: str, tool: Tool, arguments: Mapping[str, Any]) -> str:
    return signature_key(name, {key: value for key, value in arguments.items() if key not in tool.ignores})
