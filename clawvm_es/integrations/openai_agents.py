"""OpenAI Agents: a filter that pages what is sent, hooks that record answers, and a history (extra `agents`).

    paging = Paging("agent.db", "run-1", budget_tokens=60_000)
    result = await Runner.run(
        agent, "What does app.py do?",
        session=paging.history(), hooks=paging.hooks(), run_config=paging.run_config(),
    )

| part | called by the runner | action |
|---|---|---|
| filter | before each model call, with all items | records what is new, and sends the prompt of the session |
| hooks | after each answer | records it with its usage, before a tool runs |
| history | before and after a run | returns the items in the journal, and records new ones |

Each part works without the others. Without hooks an answer is recorded at the next call, and the last one never. An
agent that takes over by a handoff continues the same conversation; an agent that runs as a tool has its own.

LAW-AGENTS-1: an answer that is sent whole is sent back as its provider wrote it, thoughts and ids included.
"""

from __future__ import annotations

import asyncio
import dataclasses
import inspect
import json
from collections.abc import Callable, Iterator, Sequence
from contextvars import ContextVar
from pathlib import Path
from typing import Any, Final, TypeVar

import attrs
import structlog

from clawvm_es.engine.journal import Journal
from clawvm_es.engine.session import Session
from clawvm_es.integrations.observing import Answered, Conversation, Conversations, Message, guarded, named, warn
from clawvm_es.integrations.responses import Item, messages_of, parted, recorded
from clawvm_es.observe.steps import Usage

try:
    from agents import RunConfig, RunHooks
    from agents.run import ModelInputData
except ImportError as error:
    raise ImportError("paging needs the extra agents: pip install 'clawvm-es[agents]'") from error

FAILURES: Final = ("An error occurred while running the tool",)
"""Beginnings of what the runner tells the model where a tool fails and says nothing itself."""
T = TypeVar("T")
_log = structlog.get_logger("clawvm_es.agents")


@attrs.define
class _Asked:
    """A model call that was paged: what its conversation held, and whether the run has ended since."""

    conversation: Conversation
    messages: Sequence[Message]
    model: str
    ended: bool = False


_asked: ContextVar[_Asked | None] = ContextVar("clawvm_es_asked", default=None)
"""The last paged call of the run that this is. Tools run in tasks of their own, which know what called them."""


class Paging:
    """Pages one conversation of OpenAI Agents; all of its state is in the journal.

    `journal` is an open journal or a URL; `name` is the name of the conversation's session. All other arguments go to
    `Journal.session`, such as `budget_tokens`, `policy`, `counter`, `settings`. The budget covers instructions and
    function tools, too.

    A failure of paging does not stop the agent: the model gets its items unpaged, and a warning is logged; with
    `strict` it raises. Use it where the client sends the history, not where OpenAI keeps it (`conversation_id`,
    `previous_response_id`).
    """

    def __init__(
        self,
        journal: Journal | str | Path,
        name: str,
        *,
        provider: str = "openai",
        strict: bool = False,
        **options: Any,
    ) -> None:
        self.name = name
        self._conversations = Conversations(journal, {"renderer": "messages/1:responses", **options})
        self._provider = provider
        self._strict = strict

    @property
    def session(self) -> Session:
        """The session, for rules, pins and plans; of its newest line, where the history was changed."""
        return self._conversations.of(self.name).session

    def close(self) -> None:
        """Release the journal, if it was given by its URL."""
        self._conversations.close()

    def run_config(self, config: RunConfig | None = None) -> RunConfig:
        """A configuration with the filter; one that it has already is asked first."""
        config = config or RunConfig()
        first, model = config.call_model_input_filter, config.model

        async def paged(data: Any) -> ModelInputData:
            if first is not None:
                changed = first(data)
                own = await changed if inspect.isawaitable(changed) else changed
                data = dataclasses.replace(data, model_data=own)
            return await self.filter(data, _model(model or data.agent.model))

        return dataclasses.replace(config, call_model_input_filter=paged)

    def hooks(self) -> Hooks:
        """Hooks that record each answer; for others beside them, subclass `Hooks`."""
        return Hooks(self)

    def history(self) -> History:
        """The history of the conversation, as a session of the runner."""
        return History(self)

    # ----------------------------------------------------------------------------------------- model calls

    async def filter(self, data: Any, model: str = "") -> ModelInputData:
        """The items of a model call, paged."""
        own: ModelInputData = data.model_data
        before = _asked.get()
        found = await self.guarded("the model gets its items unpaged", lambda: self._paged(data, before, model))
        if found is None:
            _asked.set(None)
            return own
        sent, asked = found
        _asked.set(asked)
        return ModelInputData(input=sent, instructions=own.instructions)

    def _paged(self, data: Any, before: _Asked | None, model: str) -> tuple[list[Any], _Asked]:
        fixed, items = parted(data.model_data.input)
        messages = messages_of(items, FAILURES)
        conversation = self._conversations.of(self._named(data.agent, messages, before))
        region = _fixed(data.model_data.instructions, data.agent, fixed)
        prompt = conversation.prompt(named(messages), region, model)
        warn(_log, self.name, prompt)
        return [*fixed, *prompt.messages()], _Asked(conversation, messages, model)

    def _named(self, agent: Any, messages: Sequence[Message], before: _Asked | None) -> str:
        """The name of a conversation: that of an agent which runs as a tool has the caller's before it."""
        if before is None or before.ended:
            return self.name
        caller = before.conversation.name
        begins = [[each.digest for each in found[:1]] for found in (before.messages, messages)]
        return caller if begins[0] == begins[1] else f"{caller}/{agent.name}"

    async def answered(self, response: Any) -> None:
        """Record an answer to the call that was paged last in this run."""
        asked = _asked.get()
        if asked is not None:
            await self.guarded("an answer is not recorded yet", lambda: self._answered(asked, response))

    def _answered(self, asked: _Asked, response: Any) -> None:
        new = messages_of(response.to_input_items(), FAILURES)
        asked.conversation.tell(named([*asked.messages, *self._with_facts(new, asked.model, response.usage)]))

    def _with_facts(self, new: Sequence[Message], model: str, usage: Any) -> Iterator[Message]:
        """The messages of an answer with what was told of it as a whole; the last one has the usage."""
        for place, message in enumerate(new, 1):
            if isinstance(message, Answered):
                finish = "tool_calls" if message.calls else "stop"
                used = _usage(usage) if place == len(new) else Usage()
                yield attrs.evolve(message, model=model, provider=self._provider, finish=finish, usage=used)
            else:
                yield message

    async def guarded(self, what: str, run: Callable[[], T]) -> T | None:
        """Run in a thread what may fail without failing the agent; None where it did."""
        return await asyncio.to_thread(guarded, _log, self.name, self._strict, run, what)


class Hooks(RunHooks):  # type: ignore[misc]  # the extra is untyped here
    """Hooks that record each answer at once, so that it is kept even if the run stops right after it."""

    def __init__(self, paging: Paging) -> None:
        self.paging = paging

    async def on_llm_end(self, context: Any, agent: Any, response: Any) -> None:
        """Record an answer."""
        await self.paging.answered(response)

    async def on_agent_end(self, context: Any, agent: Any, output: Any) -> None:
        """Note that a run has ended: the next one may begin with anything."""
        if (asked := _asked.get()) is not None:
            asked.ended = True


class History:
    """A session of the runner whose items come from the journal, from the newest line of the conversation."""

    session_settings: Any = None

    def __init__(self, paging: Paging) -> None:
        self.session_id = paging.name
        self._paging = paging
        self._items: list[dict[str, Any]] | None = None

    async def get_items(self, limit: int | None = None) -> list[Any]:
        """The items, oldest first; of the newest `limit` where that is given."""
        items = await self._loaded()
        limit = getattr(self.session_settings, "limit", None) if limit is None else limit
        return list(items) if limit is None else items[len(items) - min(limit, len(items)) :]

    async def add_items(self, items: Sequence[Item]) -> None:
        """Record new items; those that the filter or the hooks recorded before are skipped."""
        held = await self._loaded()
        held += [dict(item) for item in items]
        await self._paging.guarded("items are not recorded yet", lambda: self._tell(held))

    async def pop_item(self) -> Any:
        """Take back the newest item, and return it; None where there is none."""
        held = await self._loaded()
        found = held.pop() if held else None
        await self._paging.guarded("an item is not taken back yet", lambda: self._tell(held, shorter=True))
        return found

    async def clear_session(self) -> None:
        """Begin with an empty history; what was recorded stays in the journal."""
        self._items = []
        await self._paging.guarded("a history is not empty yet", lambda: self._tell([], shorter=True))

    async def _loaded(self) -> list[dict[str, Any]]:
        if self._items is None:
            found = await self._paging.guarded("a history is not read", lambda: recorded(self._conversation))
            self._items = found or []
        return self._items

    @property
    def _conversation(self) -> Conversation:
        return self._paging._conversations.of(self._paging.name)

    def _tell(self, items: Sequence[Item], shorter: bool = False) -> None:
        """Tell the conversation its items, unless it knows them all and more."""
        listed = named(messages_of(parted(items)[1], FAILURES))
        known = {each.ident for each in self._conversation.known}
        if shorter or not listed.keys() <= known:
            self._conversation.tell(listed)


# ------------------------------------------------------------------------------------------------- facts


def _fixed(instructions: str | None, agent: Any, items: Sequence[Item]) -> str:
    """The fixed region, as text: instructions, tools, messages of the developer."""
    tools = [tool for tool in agent.tools if hasattr(tool, "params_json_schema")]
    forms = [[tool.name, tool.description, tool.params_json_schema] for tool in tools]
    return "\n".join(
        [instructions or "", *(json.dumps(each, sort_keys=True, default=str) for each in (*forms, *items))]
    )


def _model(model: Any) -> str:
    if isinstance(model, str):
        return model
    name = getattr(model, "model", None)
    return name if isinstance(name, str) else "" if model is None else type(model).__name__


def _usage(usage: Any) -> Usage:
    read, out = usage.input_tokens_details, usage.output_tokens_details
    written = getattr(read, "cache_write_tokens", 0)
    counts = (usage.input_tokens, read.cached_tokens, usage.output_tokens, written, out.reasoning_tokens)
    return Usage(*(count if isinstance(count, int) and count > 0 else 0 for count in counts))
