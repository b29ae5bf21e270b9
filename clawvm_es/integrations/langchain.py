"""LangChain: a middleware that pages what an agent sends to its model (extra `langchain`).

    agent = create_agent(model, tools, middleware=[ClawVMMiddleware("agent.db", budget_tokens=60_000)])

The graph's state keeps every message. Each model call gets the prompt that the session of its thread assembles;
answers and results are recorded under the ids of their messages. Put it last in the list: it then sees system prompt
and tools as the others made them.

| of the state | in the session |
|---|---|
| `HumanMessage`, any other role | what the user says |
| `AIMessage` | an answer, its calls, usage, model and finish reason |
| `ToolMessage` | the result of its call; `status="error"` is a failed one |
| `SystemMessage`, system prompt, tools, response format | the fixed region |
| messages that another middleware adds to one call | nothing: they are counted and sent |

LAW-LANGCHAIN-1: a message that is sent unchanged is the state's own object, with everything its provider put into it.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

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
from clawvm_es.representations.messages.shapes import as_items

try:
    from langchain.agents.middleware import AgentMiddleware, ModelRequest
    from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage, ToolMessage
    from langchain_core.utils.function_calling import convert_to_openai_tool
except ImportError as error:
    raise ImportError("the middleware needs the extra langchain: pip install 'clawvm-es[langchain]'") from error

CALLS: Final = frozenset(("tool_use", "tool_call", "function_call", "invalid_tool_call"))
"""Types of content items that say a call, which the message's `tool_calls` say too."""
_log = structlog.get_logger("clawvm_es.langchain")


class ClawVMMiddleware(AgentMiddleware):  # type: ignore[misc]  # LangChain is untyped here
    """Pages the messages of a LangChain agent; all of its state is in the journal.

    `journal` is an open journal or a URL. A thread's session is named by its `thread_id`, plus the nodes around a
    nested agent; `session` gives another name, or a function of the runtime that returns one. All other arguments go
    to `Journal.session`, such as `budget_tokens`, `policy`, `counter`, `settings`.

    A failure of paging does not stop the agent: the model gets the state's messages, and a warning is logged; with
    `strict` it raises. A conversation without a name always raises `UsageError`.
    """

    def __init__(
        self, journal: Journal | str | Path, *, session: Namer = None, strict: bool = False, **options: Any
    ) -> None:
        super().__init__()
        self._conversations = Conversations(journal, options)
        self._session = session
        self._strict = strict

    def session(self, name: str) -> Session:
        """The session of a thread, for rules, pins and plans; its newest fork, if its messages were changed."""
        return self._conversations.of(name).session

    def close(self) -> None:
        """Release the journal, if it was given as a URL."""
        self._conversations.close()

    def wrap_model_call(self, request: Any, handler: Callable[[Any], Any]) -> Any:
        """Ask the model with the prompt of this turn."""
        return handler(self._paged(request))

    async def awrap_model_call(self, request: Any, handler: Callable[[Any], Awaitable[Any]]) -> Any:
        """Ask the model with the prompt of this turn; the journal is written in a thread."""
        return await handler(await asyncio.to_thread(self._paged, request))

    def after_model(self, state: Any, runtime: Any) -> None:
        """Record the answer at once, since a run that is interrupted now calls no other hook."""
        name = self._name(runtime)
        guarded(_log, name, self._strict, lambda: self._conversations.of(name).tell(named(told(state["messages"]))))

    async def aafter_model(self, state: Any, runtime: Any) -> None:
        """Record the answer at once, in a thread."""
        await asyncio.to_thread(self.after_model, state, runtime)

    # ------------------------------------------------------------------------------------------ one call

    def _paged(self, request: ModelRequest) -> ModelRequest:
        name = self._name(request.runtime)
        found = guarded(_log, name, self._strict, lambda: self._messages(name, request))
        return request if found is None else request.override(messages=found)

    def _messages(self, name: str, request: ModelRequest) -> list[BaseMessage]:
        """The messages of a call: system messages, the prompt, and what others added to this call."""
        kept, before, after = _sorted(request.state.get("messages") or request.messages, request.messages)
        rules = [message for message in request.messages if isinstance(message, SystemMessage)]
        listed = named(told(kept))
        conversation = self._conversations.of(name)
        with conversation.lock:
            beside = "".join(map(_text, (*before, *after)))
            prompt = conversation.prompt(listed, _fixed(request, rules), _model(request.model), beside)
            warn(_log, name, prompt)
            sent = sent_of(prompt, conversation, listed, dict(zip(listed, kept, strict=True)))
            return [*rules, *before, *sent, *after]

    def _name(self, runtime: Any) -> str:
        """The name of a thread's conversation; with the nodes around it, where the agent is nested."""
        if (given := given_name(self._session, runtime)) is not None:
            return given
        info = getattr(runtime, "execution_info", None)
        thread = needed(getattr(info, "thread_id", None), "the agent was run without a thread_id")
        around = [node.partition(":")[0] for node in getattr(info, "checkpoint_ns", "").split("|")[:-1]]
        return "/".join([thread, *around])


def _sorted(
    state: Sequence[BaseMessage], sent: Sequence[BaseMessage]
) -> tuple[list[BaseMessage], list[BaseMessage], list[BaseMessage]]:
    """The messages of the state, and those that others added to this call before and after them.

    LangChain itself adds results of calls that it could not read; the state will have them, too.
    """
    known = {message.id for message in state}
    fresh = [place for place, message in enumerate(sent) if message.id is None or message.id not in known]
    results = {each.tool_call_id: each for place in fresh if isinstance(each := sent[place], ToolMessage)}
    kept: list[BaseMessage] = []
    for message in state:
        kept += [] if isinstance(message, SystemMessage) else [message]
        for wrong in message.invalid_tool_calls if isinstance(message, AIMessage) else ():
            kept += [results[wrong["id"]]] if wrong["id"] in results else []
    added = [place for place in fresh if not isinstance(sent[place], SystemMessage | ToolMessage)]
    first = next((place for place, message in enumerate(sent) if message.id in known), 0)
    return kept, [sent[n] for n in added if n < first], [sent[n] for n in added if n >= first]


# ------------------------------------------------------------------------------------------- the fixed region


def _fixed(request: ModelRequest, rules: Iterable[BaseMessage]) -> str:
    """Text of all that is sent beside the messages: system prompt, tools, the forms of structured answers."""
    system = [] if request.system_message is None else [request.system_message]
    forms = [spec.json_schema for spec in getattr(request.response_format, "schema_specs", ())]
    tools = [tool if isinstance(tool, dict) else convert_to_openai_tool(tool) for tool in request.tools]
    said = [_text(message) for message in (*system, *rules)]
    return "\n".join(said + [json.dumps(each, sort_keys=True, default=str) for each in (*tools, *forms)])


def _text(message: BaseMessage) -> str:
    content = message.content
    return content if isinstance(content, str) else json.dumps(content, sort_keys=True, default=str)


def _model(model: Any) -> str:
    names = (getattr(model, name, None) for name in ("model_name", "model", "model_id"))
    return next((name for name in names if isinstance(name, str) and name), type(model).__name__)


# ------------------------------------------------------------------------------------------ what is told


def told(messages: Iterable[BaseMessage]) -> Iterator[Message]:
    """Messages of LangChain as messages of a session, without system messages."""
    for message in messages:
        if isinstance(message, AIMessage):
            yield _answer(message)
        elif isinstance(message, ToolMessage):
            status = ReturnStatus.ERROR if message.status == "error" else ReturnStatus.OK
            yield Ended(message.tool_call_id, str(message.text), status, _content(message))
        elif not isinstance(message, SystemMessage):
            yield Said(str(message.text), _content(message), message.id or "")


def _answer(message: AIMessage) -> Answered:
    said = message.response_metadata
    finish = next((said[name] for name in ("finish_reason", "stop_reason", "done_reason") if said.get(name)), None)
    return Answered(
        str(message.text),
        tuple(_calls(message)),
        _native(message),
        tuple(_thoughts(message)),
        message.id or "",
        str(said.get("model_name") or said.get("model") or ""),
        str(said.get("model_provider") or ""),
        finish if isinstance(finish, str) else None,
        _usage(message.usage_metadata or {}),
    )


def _calls(message: AIMessage) -> Iterator[Call]:
    for call in message.tool_calls:
        yield Call(call["id"] or "", call["name"], call["args"])
    for wrong in message.invalid_tool_calls:
        yield Call(wrong["id"] or "", wrong["name"] or "", wrong["args"] or "")


def _usage(told: Mapping[str, Any]) -> Usage:
    read, out = told.get("input_token_details") or {}, told.get("output_token_details") or {}
    counts = (
        *(told.get("input_tokens"), read.get("cache_read"), told.get("output_tokens")),
        *(read.get("cache_creation"), out.get("reasoning")),
    )
    return Usage(*(count if isinstance(count, int) and count > 0 else 0 for count in counts))


def _thoughts(message: AIMessage) -> Iterator[str]:
    for item in _items(message):
        if item["type"] == "thinking":
            yield str(item.get("thinking") or "")
        elif item["type"] == "reasoning":
            summary = [part.get("text") for part in item.get("summary") or () if isinstance(part, dict)]
            yield str(item.get("reasoning") or "\n".join(map(str, summary)))


def _items(message: BaseMessage) -> list[dict[str, Any]]:
    """The items of a content that is a list, texts without a word left out."""
    if isinstance(message.content, str):
        return []
    items = [{"type": "text", "text": item} if isinstance(item, str) else item for item in message.content]
    typed = [item for item in items if isinstance(item.get("type"), str)]
    return [item for item in typed if item["type"] != "text" or str(item.get("text", "")).strip()]


def _content(message: BaseMessage) -> list[dict[str, Any]] | None:
    """The content of a message whose text does not say it all: images, files, a provider's own items."""
    items = _items(message)
    return items if any(item["type"] != "text" for item in items) else None


def _native(message: AIMessage) -> list[dict[str, Any]] | None:
    """An answer that has more than text and calls, with its calls in their places."""
    items = _items(message)
    if all(item["type"] in CALLS or item["type"] == "text" for item in items):
        return None
    uses = {
        call.id: {
            "type": "tool_use",
            "id": call.id,
            "name": call.name,
            "input": wrapped(call.args) if isinstance(call.args, str) else dict(call.args),
        }
        for call in _calls(message)
    }
    found = []
    for item in items:
        use = uses.pop(item.get("call_id") or item.get("id") or "", None) if item["type"] in CALLS else item
        found += [] if use is None else [use]
    return [*found, *uses.values()]


# -------------------------------------------------------------------------------------------- what is sent


def sent_of(
    prompt: Prompt, conversation: Conversation, listed: Mapping[str, Message], own: Mapping[str, BaseMessage]
) -> Iterator[BaseMessage]:
    """The messages of a prompt: the state's `own` if they are sent unchanged, else new ones from the blocks."""
    names = {block.call_id: block.name for block in prompt.blocks if block.kind is Kind.CALL}
    for said in exchanges(prompt.blocks):
        ident = conversation.ident_of(said, listed)
        if ident is not None:
            yield own[ident]
        elif said[0].role is Role.ASSISTANT:
            yield _built_answer(said)
        elif said[0].kind is Kind.RESULT:
            yield _built_result(said, names.get(said[0].call_id, ""))
        else:
            yield HumanMessage(_built_content(said))


def _built_answer(said: Sequence[Block]) -> AIMessage:
    texts = [block for block in said if block.kind is Kind.TEXT]
    calls = [
        {"name": block.name, "args": wrapped(block.text), "id": block.call_id, "type": "tool_call"}
        for block in said
        if block.kind is Kind.CALL
    ]
    return AIMessage(_built_content(texts) if texts else "", tool_calls=calls)


def _built_result(said: Sequence[Block], name: str) -> ToolMessage:
    first = said[0]
    status = "error" if first.is_error else "success"
    return ToolMessage(_built_content(said), tool_call_id=first.call_id or "", name=name or None, status=status)


def _built_content(said: Sequence[Block]) -> Any:
    native = as_items(said[0].native)
    if native is not None:
        return native
    return said[0].text if len(said) == 1 else [{"type": "text", "text": block.text} for block in said]
