"""pydantic-ai: a capability that pages what an agent sends to its model (extra `pydantic-ai`).

    agent = Agent(model, capabilities=[ClawVMCapability("agent.db", budget_tokens=60_000)])

The run's history keeps every message. Each attempt at a model request gets the prompt that the session of its
conversation assembles; answers are recorded as they come, results with the next request or at the end of the run.

| in the history | in the session |
|---|---|
| `UserPromptPart`, feedback that answers no call | what the user says |
| `ModelResponse` | an answer, its calls, usage, model and finish reason |
| `ToolReturnPart` | the result of its call, a failed one unless its outcome is `success` |
| `SystemPromptPart`, parts that say how instructions, tools and settings changed | the fixed region, sent first |
| instructions, tools, output tools | the fixed region |

Messages have no ids and are recognised by content, so a history that was stored and loaded continues its session.

LAW-PYDANTIC-1: a part that is sent unchanged is the history's own object, with everything its provider put into it.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from typing import Any, Final, TypeAlias

import structlog

from clawvm_es.engine.hooks import Call, Prompt
from clawvm_es.engine.journal import Journal
from clawvm_es.engine.session import Session
from clawvm_es.integrations.observing import (
    Answered,
    Conversation,
    Conversations,
    Ended,
    Message,
    Namer,
    Said,
    exchanges,
    given_name,
    guarded,
    named,
    needed,
    warn,
)
from clawvm_es.model.facts import ReturnStatus
from clawvm_es.observe.steps import Usage
from clawvm_es.representations.messages import Block, Kind, Role
from clawvm_es.representations.messages.framing import wrapped

try:
    from pydantic_ai import messages as m
    from pydantic_ai.capabilities import AbstractCapability
except ImportError as error:
    raise ImportError("the capability needs the extra pydantic-ai: pip install 'clawvm-es[pydantic-ai]'") from error

OUTCOMES: Final = {"success": ReturnStatus.OK, "interrupted": ReturnStatus.INTERRUPTED}
"""Outcome of a tool's return → how its call ended; any other is a failure."""
Part: TypeAlias = Any
"""A part of a request, or a whole response."""
_log = structlog.get_logger("clawvm_es.pydantic_ai")


class ClawVMCapability(AbstractCapability[Any]):  # type: ignore[misc]  # pydantic-ai is untyped here
    """Pages the messages of a pydantic-ai agent; all of its state is in the journal.

    `journal` is an open journal or a URL. A session is named by the run's `conversation_id`, which a run inherits
    from the history that it continues; `session` gives another name, or a function of the `RunContext` that returns
    one. All other arguments go to `Journal.session`, such as `budget_tokens`, `policy`, `counter`, `settings`.

    A failure of paging does not stop the agent: the model gets the whole history, and a warning is logged; with
    `strict` it raises.
    """

    def __init__(
        self, journal: Journal | str | Path, *, session: Namer = None, strict: bool = False, **options: Any
    ) -> None:
        self._conversations = Conversations(journal, options)
        self._session = session
        self._strict = strict

    def session(self, name: str) -> Session:
        """The session of a conversation, for rules, pins and plans; its newest fork, if it was changed."""
        return self._conversations.of(name).session

    def close(self) -> None:
        """Release the journal, if it was given as a URL."""
        self._conversations.close()

    async def prepare_model_request(self, ctx: Any, request_context: Any) -> Any:
        """Give an attempt the messages of the prompt; a request that continues a response is sent unchanged."""
        history = list(ctx.messages)
        if not history or not isinstance(history[-1], m.ModelRequest):
            return request_context
        name = self._name(ctx)
        found = await self._guarded(name, lambda: self._messages(name, history, request_context))
        if found is not None:
            request_context.messages = found
        return request_context

    async def after_model_request(self, ctx: Any, *, request_context: Any, response: Any) -> Any:
        """Record the answer at once, since the process may end next."""
        await self._tell(ctx, [*ctx.messages, response])
        return response

    async def after_run(self, ctx: Any, *, result: Any) -> Any:
        """Record the results that ended the run."""
        await self._tell(ctx, result.all_messages())
        return result

    async def _tell(self, ctx: Any, history: Sequence[Any]) -> None:
        name = self._name(ctx)
        await self._guarded(name, lambda: self._conversations.of(name).tell(named(told(spoken(history)))))

    async def _guarded(self, name: str, run: Any) -> Any:
        return await asyncio.to_thread(guarded, _log, name, self._strict, run)

    def _messages(self, name: str, history: Sequence[Any], request: Any) -> list[Any]:
        """The messages of a request: the fixed parts, and the prompt."""
        rules = [part for message in history for part in message.parts if is_fixed(part)]
        parts = list(spoken(history))
        listed = named(told(parts))
        conversation = self._conversations.of(name)
        with conversation.lock:
            prompt = conversation.prompt(listed, _fixed(request, rules), request.model.model_name)
            warn(_log, name, prompt)
            own = dict(zip(listed, parts, strict=True))
            sent = list(sent_of(prompt, conversation, listed, own))
        return _requests(rules, sent, history[-1])

    def _name(self, ctx: Any) -> str:
        if (given := given_name(self._session, ctx)) is not None:
            return given
        return needed(ctx.conversation_id, "the run has no conversation_id")


# ------------------------------------------------------------------------------------------- the fixed region


def is_fixed(part: Part) -> bool:
    """Tell whether a part belongs to the fixed region: system prompts, changes of instructions and tools."""
    return not isinstance(part, _SPOKEN) and part.part_kind not in _OF_RESPONSES


_SPOKEN: Final = (m.UserPromptPart, m.BaseToolReturnPart, m.RetryPromptPart, m.RetryFeedbackPart)
_OF_RESPONSES: Final = frozenset(
    ("text", "thinking", "tool-call", "builtin-tool-call", "builtin-tool-return", "file", "compaction", "speech")
)


def _fixed(request: Any, rules: Iterable[Part]) -> str:
    """Text of all that is sent beside the messages: system prompts, instructions, tools."""
    parameters = request.model_request_parameters
    said = [str(getattr(part, "content", None) or _json(part)) for part in rules]
    said += [part.content for part in parameters.instruction_parts or ()]
    tools = [*parameters.function_tools, *parameters.output_tools]
    shown = [[tool.name, tool.description, tool.parameters_json_schema] for tool in tools]
    return "\n".join(said + [json.dumps(each, sort_keys=True, default=str) for each in shown])


# ------------------------------------------------------------------------------------------ what is told


def spoken(history: Iterable[Any]) -> Iterator[Part]:
    """The parts of requests with content, and whole responses, in order."""
    for message in history:
        if isinstance(message, m.ModelResponse):
            yield message
        else:
            yield from (part for part in message.parts if not is_fixed(part))


def told(parts: Iterable[Part]) -> Iterator[Message]:
    """Parts as messages of a session."""
    for part in parts:
        if isinstance(part, m.ModelResponse):
            yield _answer(part)
        elif isinstance(part, m.BaseToolReturnPart):
            text, files = part.model_response_str_and_user_content(wrap_if_error=False)
            items = [{"type": "text", "text": text}, *_items(files)] if files else None
            yield Ended(part.tool_call_id, text, OUTCOMES.get(part.outcome, ReturnStatus.ERROR), items)
        elif isinstance(part, m.RetryPromptPart) and part.tool_name is not None:
            yield Ended(part.tool_call_id, part.model_response(), ReturnStatus.ERROR)
        elif isinstance(part, m.UserPromptPart):
            items = [] if isinstance(part.content, str) else list(_items(part.content))
            text = "\n".join(item["text"] for item in items if item["type"] == "text")
            whole = all(item["type"] == "text" for item in items)
            yield Said(part.content if isinstance(part.content, str) else text, None if whole else items)
        else:
            yield Said(part.model_response())


def _items(content: Iterable[Any]) -> Iterator[dict[str, Any]]:
    """Content of the user's as items; files as images and documents, marks for the cache left out."""
    for item in content:
        if isinstance(item, str):
            yield {"type": "text", "text": item}
        elif isinstance(item, m.TextContent):
            yield {"type": "text", "text": item.content}
        elif isinstance(item, m.BinaryContent):
            source = {"type": "base64", "media_type": item.media_type, "data": item.base64}
            yield {"type": "image" if item.is_image else "document", "source": source}
        elif not isinstance(item, m.CachePoint):
            is_image = isinstance(item, m.ImageUrl)
            yield {"type": "image" if is_image else "document", "source": {"type": "url", **_json(item)}}


def _answer(response: Any) -> Answered:
    texts = [part.content for part in response.parts if isinstance(part, m.TextPart)]
    calls = [part for part in response.parts if isinstance(part, m.ToolCallPart)]
    thoughts = [part.content for part in response.parts if isinstance(part, m.ThinkingPart)]
    usage = response.usage
    return Answered(
        "".join(texts),
        tuple(Call(call.tool_call_id, call.tool_name, call.args or {}) for call in calls),
        _native(response),
        tuple(thought for thought in thoughts if thought),
        model=response.model_name or "",
        provider=response.provider_name or "",
        finish=response.finish_reason,
        usage=Usage(
            *(usage.input_tokens, usage.cache_read_tokens, usage.output_tokens),
            *(usage.cache_write_tokens, usage.output_reasoning_tokens),
        ),
    )


def _native(response: Any) -> list[dict[str, Any]] | None:
    """An answer that has more than text and calls, as items; other parts as pydantic-ai writes them."""
    if all(isinstance(part, m.TextPart | m.ToolCallPart) for part in response.parts):
        return None
    return [item for part in response.parts for item in _item(part)]


def _item(part: Part) -> Iterator[dict[str, Any]]:
    if isinstance(part, m.TextPart):
        if part.content.strip():
            yield {"type": "text", "text": part.content}
    elif isinstance(part, m.ThinkingPart):
        yield {"type": "thinking", "thinking": part.content, "signature": part.signature or ""}
    elif isinstance(part, m.ToolCallPart):
        args = part.args or {}
        given = wrapped(args) if isinstance(args, str) else dict(args)
        yield {"type": "tool_use", "id": part.tool_call_id, "name": part.tool_name, "input": given}
    elif isinstance(part, m.FilePart):
        yield from _items([part.content])
    else:
        yield {"type": part.part_kind, **_json(part)}


def _json(value: Any) -> dict[str, Any]:
    """A part as JSON, without its time."""
    from pydantic_core import to_jsonable_python

    found = dict(to_jsonable_python(value, fallback=str))
    found.pop("timestamp", None)
    return found


# -------------------------------------------------------------------------------------------- what is sent


def sent_of(
    prompt: Prompt, conversation: Conversation, listed: Mapping[str, Message], own: Mapping[str, Part]
) -> Iterator[Part]:
    """The parts of a prompt: the history's `own` if they are sent unchanged, else new ones from the blocks."""
    names = {block.call_id: block.name for block in prompt.blocks if block.kind is Kind.CALL}
    for said in exchanges(prompt.blocks):
        ident = conversation.ident_of(said, listed)
        if ident is not None:
            yield own[ident]
        elif said[0].role is Role.ASSISTANT:
            yield _built_response(said)
        elif said[0].kind is Kind.RESULT:
            yield _built_return(said, names.get(said[0].call_id, ""))
        else:
            yield m.UserPromptPart(_text(said))


def _built_response(said: Sequence[Block]) -> Any:
    texts = [m.TextPart(block.text) for block in said if block.kind is Kind.TEXT]
    calls = [
        m.ToolCallPart(block.name, wrapped(block.text), tool_call_id=block.call_id or "")
        for block in said
        if block.kind is Kind.CALL
    ]
    return m.ModelResponse([*texts, *calls])


def _built_return(said: Sequence[Block], name: str) -> Part:
    outcome = "failed" if said[0].is_error else "success"
    return m.ToolReturnPart(name, _text(said), tool_call_id=said[0].call_id or "", outcome=outcome)


def _text(said: Sequence[Block]) -> str:
    return "\n\n".join(block.text for block in said)


def _requests(rules: Sequence[Part], sent: Iterable[Part], last: Any) -> list[Any]:
    """Messages of parts: those between two responses make one request; the last one is like `last` in all else."""
    found: list[Any] = []
    for is_response, some in groupby([*rules, *sent], lambda part: isinstance(part, m.ModelResponse)):
        parts = list(some)
        found += parts if is_response else [m.ModelRequest(parts)]
    if found and isinstance(found[-1], m.ModelRequest):
        found[-1] = replace(last, parts=found[-1].parts)
    return found
