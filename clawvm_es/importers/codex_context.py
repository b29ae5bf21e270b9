"""Context of a Codex session, from its rows: messages, the parts that compactions keep, the parts that rollbacks
drop.
"""

from __future__ import annotations

from collections import Counter
from types import MappingProxyType
from typing import Final

import attrs

from clawvm_es.importers.codex_text import content, is_injected, rules_of, said_key
from clawvm_es.importers.recording import Skip
from clawvm_es.importers.transcript import Transcript
from clawvm_es.model.facts import Boundary, Cut
from clawvm_es.observe.fields import Fields
from clawvm_es.observe.steps import ContextDropped, Lines, RulesLoaded, Summary, SystemMessage, Usage, UserMessage

KEPT_PROMPT_CHARS: Final = 80_000
"""Characters of the newest prompts that an old compaction kept beside its summary."""

NO_STATE_ITEMS: Final = MappingProxyType(
    {
        "ghost_snapshot": Skip.FILE_HISTORY_SNAPSHOT,
        "additional_tools": Skip.META,
        "configuration_update": Skip.SETTING_CHANGE,
        "compaction": Skip.ENCRYPTED,
        "compaction_summary": Skip.ENCRYPTED,
        "context_compaction": Skip.ENCRYPTED,
    }
)
"""Items that are in no step → why."""
OUTPUTS: Final = ("function_call_output", "custom_tool_call_output", "local_shell_call_output")


@attrs.frozen
class Before:
    """The context as it was before a compaction, which a rollback may bring back."""

    line: int
    context: dict[int, None]
    prompts: list[int]
    standing: dict[str, int]


@attrs.define
class File:
    """The session of one file being built."""

    into: Transcript = attrs.field(factory=Transcript)
    session_id: str = ""
    started_by: str = ""
    resumed_from: str = ""
    lineage: set[str] = attrs.field(factory=set)  # ids of the session and of those that it comes from
    cwd: str = ""
    model: str = ""
    provider: str = ""
    answer: int = 0  # number of the answer that is being read
    ended: bool = True  # the next item of the model begins another answer
    sealed: bool = True  # it is a step already
    usage: Usage | None = None  # of the answer that is being read
    waiting: Usage | None = None  # told before the answer that it belongs to
    usage_first: bool | None = None  # rows of usage come before their answers
    told_by: str = ""  # kind of the row that told the last usage
    total: object = None
    by_item: Counter[str] = attrs.field(factory=Counter)  # prompts that no event has repeated yet
    by_event: Counter[str] = attrs.field(factory=Counter)  # prompts that no item has repeated yet
    context: dict[int, None] = attrs.field(factory=dict)  # lines that stand in the context, in order
    prompts: list[int] = attrs.field(factory=list)  # those that the user wrote
    turns: list[int] = attrs.field(factory=list)  # lines of all prompts that were not rolled back
    compactions: list[Before] = attrs.field(factory=list)
    standing: dict[str, int] = attrs.field(factory=dict)  # beginning of a harness text → its last line
    places: dict[str, int] = attrs.field(factory=dict)  # what an item says → its last line
    sizes: dict[int, int] = attrs.field(factory=dict)  # line of a prompt → characters


def prompted(file: File, prompt: UserMessage, others: Counter[str], own: Counter[str]) -> None:
    """Take a prompt; an item and an event may both report it, in either order, and the second adds no step."""
    key = said_key(prompt.text)
    if not key and not prompt.images:
        file.into.skip(Skip.EMPTY_MESSAGE)
    elif others[key]:
        others[key] -= 1
        file.into.skip(Skip.MIRRORED)
    else:
        own[key] += 1
        say(file, prompt, prompt.text)
        file.prompts.append(prompt.lines.first)
        file.turns.append(prompt.lines.first)
        file.sizes[prompt.lines.first] = len(prompt.text)


def heard(file: File, text: str, lines: Lines, at_us: int) -> None:
    """Take a text that the harness put into the context; if it shows a rules file, it is that file."""
    if not text.strip():
        file.into.skip(Skip.EMPTY_MESSAGE)
        return
    rules = rules_of(text)
    step = RulesLoaded(*rules, lines, at_us) if rules else UserMessage(text, lines, at_us, harness=True)
    say(file, step, text)
    file.standing[text.lstrip()[:24]] = lines.first


def say(file: File, step: UserMessage | SystemMessage | RulesLoaded, text: str) -> None:
    """Add a text to the context; it ends the answer before it."""
    file.into.say(step)
    file.ended = file.sealed = True
    file.context[step.lines.first] = None
    if text.strip():
        file.places[said_key(text)] = step.lines.first


def joined(file: File, item: Fields) -> str:
    """The text of an item without images."""
    texts, shown = content(file.into, item)
    file.into.skip(Skip.IMAGE, len(shown))
    return "\n".join(texts)


# ---------------------------------------------------------------------------------------------- boundaries


def rolled_back(file: File, prompts: int, lines: Lines, at_us: int) -> None:
    """Take out the given number of last prompts and everything after them; compactions after them are undone."""
    gone = file.turns[-prompts:] if prompts else []
    if not gone:
        file.into.skip(Skip.SYSTEM_NOTICE)
        return
    file.turns = file.turns[: -len(gone)]
    while file.compactions and file.compactions[-1].line > gone[0]:
        before = file.compactions.pop()
        file.context, file.prompts, file.standing = before.context, before.prompts, before.standing
    _drop(file, Boundary.PRUNE, [line for line in file.context if line < gone[0]], lines, at_us)


def compacted(file: File, payload: Fields, lines: Lines, at_us: int) -> None:
    """Replace the context by the history in the row, else by what old versions kept, and a summary."""
    if payload.is_list("replacement_history"):
        _replaced(file, payload, lines, at_us)
        return
    _drop(file, Boundary.COMPACT, [*file.standing.values(), *_newest_prompts(file)], lines, at_us)
    file.into.say(Summary(payload.text("message"), lines, at_us))


def _newest_prompts(file: File) -> list[int]:
    """Lines of the newest prompts, up to the size that a compaction keeps."""
    kept: list[int] = []
    left = KEPT_PROMPT_CHARS
    for line in reversed(file.prompts):
        left -= file.sizes[line]
        if left < 0:
            break
        kept.append(line)
    return kept


def _replaced(file: File, payload: Fields, lines: Lines, at_us: int) -> None:
    """Replace the context: items that were in it stay, others are new."""
    kept: list[int] = []
    new: list[tuple[str, str]] = []
    for item in payload.objects("replacement_history"):
        kind, call_id = item.text("type"), item.ident("call_id")
        if kind in ("message", "agent_message"):
            for text in content(file.into, item)[0]:
                place = file.places.get(said_key(text))
                if place is not None:
                    kept.append(place)
                elif text.strip():
                    new.append((item.text("role"), text))
        else:
            place = file.places.get(f"{'output' if kind in OUTPUTS else 'call'} {call_id}")
            if call_id and place is not None:
                kept.append(place)
            else:
                file.into.skip(NO_STATE_ITEMS.get(kind, Skip.UNKNOWN_BLOCK))
    message = payload.text("message")
    _drop(file, Boundary.COMPACT, kept, lines, at_us)
    if message.strip() and message not in [text for _role, text in new]:
        file.into.say(Summary(message, lines, at_us))
    for role, text in new:
        _new_text(file, role, text, lines, at_us)


def _new_text(file: File, role: str, text: str, lines: Lines, at_us: int) -> None:
    """Take a text that is new after a compaction: the harness's if it has that form, else a summary."""
    if role in ("developer", "system"):
        say(file, SystemMessage(text, lines, at_us), text)
    elif not role or is_injected(text):
        heard(file, text, lines, at_us)
    else:
        file.into.say(Summary(text, lines, at_us))
        file.context[lines.first] = None
        file.places[said_key(text)] = lines.first


def _drop(file: File, boundary: Boundary, kept: list[int], lines: Lines, at_us: int) -> None:
    cut = Cut.COMPACT if boundary is Boundary.COMPACT else Cut.REWIND
    if boundary is Boundary.COMPACT:
        file.compactions.append(Before(lines.first, file.context, file.prompts, file.standing))
    file.into.say(ContextDropped(boundary, lines, at_us, kept_lines=frozenset(kept), cut=cut))
    file.ended = file.sealed = True
    file.context = dict.fromkeys(sorted(set(kept)))
    file.prompts = [line for line in file.prompts if line in file.context]
    file.standing = {text: line for text, line in file.standing.items() if line in file.context}
