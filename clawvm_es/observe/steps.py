"""Steps: what happened in a harness, recorded or live, in its own order; no page, need or event yet.

| step | says |
|---|---|
| `SystemMessage`, `UserMessage`, `SkillLoaded`, `RulesLoaded`, `FileShown` | a text entered the context |
| `ModelMessage` | the model answered: texts, calls, thinking, usage |
| `ToolResult` | a call ended |
| `ContextDropped` | the harness destroyed context, or went back to an earlier message |
| `Summary` | what the harness put in its place |

Commands and facts follow from steps in `observer`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, TypeAlias

import attrs

from clawvm_es.model.facts import Boundary, Cut, Finish, ReturnStatus, ToldBy


@attrs.frozen
class Lines:
    """Lines (records) `first` to `last` of the file, counted from 1; 0 where there is no file."""

    first: int = 0
    last: int = 0


NOWHERE: Final = Lines()
"""The place of a step that stands in no file: a live harness told it."""


@attrs.frozen
class Usage:
    """Token counts as the provider reported them: the whole prompt, the part served from its cache, the answer.

    `written_tokens` are those of the prompt that went into the cache, `thinking_tokens` those of the answer that the
    user does not see.
    """

    input_tokens: int = 0
    cached_tokens: int = 0
    output_tokens: int = 0
    written_tokens: int = 0
    thinking_tokens: int = 0


@attrs.frozen
class Image:
    """An image or document: its media type, its size in bytes and the SHA-256 of them, or the `url` it stands at."""

    media_type: str = ""
    size_bytes: int = 0
    digest: str = ""
    url: str = ""

    @property
    def text(self) -> str:
        """The line that stands for it."""
        kind = self.media_type or "image"
        if not self.digest:
            return f"[{kind} at {self.url}]" if self.url else f"[{kind}]"
        return f"[{kind}, {self.size_bytes} bytes, sha256 {self.digest}]"


@attrs.frozen
class SystemMessage:
    """A system or developer message."""

    text: str
    lines: Lines = NOWHERE
    at_us: int = 0


@attrs.frozen
class UserMessage:
    """Text of the user; `harness` if the harness put the text into the context on its own.

    `source` is the line that names it, where it is not what the user typed.
    """

    text: str
    lines: Lines = NOWHERE
    at_us: int = 0
    harness: bool = False
    images: tuple[Image, ...] = ()
    source: str = ""


@attrs.frozen
class SkillLoaded:
    """Instructions that the harness loaded; `name` is where they came from."""

    text: str
    name: str
    lines: Lines = NOWHERE
    at_us: int = 0


@attrs.frozen
class RulesLoaded:
    """A file of rules that the harness put into the context on its own; `path` is its absolute path."""

    text: str
    path: str
    lines: Lines = NOWHERE
    at_us: int = 0


@attrs.frozen
class FileShown:
    """A file, or a part of it, that the harness put into the context on its own; `path` is its absolute path.

    `told_by` says who told it, where that was no row of the transcript.
    """

    text: str
    path: str
    lines: Lines = NOWHERE
    at_us: int = 0
    images: tuple[Image, ...] = ()
    told_by: ToldBy | None = None


@attrs.frozen
class ToolUse:
    """One call: `call` counts calls of the session from 1, `cwd` is the directory that relative paths start from.

    `text` are the arguments as they are kept, where that is not their canonical JSON. `call_id` is the harness's own
    id of the call. A call that is `unsent` is in no prompt after its answer: the harness does not send it back.
    """

    call: int
    name: str
    arguments: Mapping[str, object]
    cwd: str = ""
    text: str | None = None
    call_id: str = ""
    unsent: bool = False


@attrs.frozen
class ModelMessage:
    """One model call's answer, from `began_us` to `at_us`.

    `continued` if it only adds blocks to an answer that other steps have followed already. `thinking` are the texts
    that the model wrote for itself, `model` and `provider` the names that the answer gives, where it gives any;
    `native` is the answer as its provider wrote it, JSON text. `fixed` is the fixed region that it was asked with, or
    any text that is another where that is, and `fixed_tokens` its size.
    """

    texts: tuple[str, ...] = ()
    calls: tuple[ToolUse, ...] = ()
    usage: Usage = Usage()
    lines: Lines = NOWHERE
    began_us: int = 0
    at_us: int = 0
    continued: bool = False
    thinking: tuple[str, ...] = ()
    model: str = ""
    provider: str = ""
    finish: Finish | None = None
    native: str = ""
    fixed: str = ""
    fixed_tokens: int = 0


@attrs.frozen
class ToolResult:
    """The result of call number `call`; `unmatched` if it came before its call.

    `source` is the line that names it, where that is not the call's own. `validator` must be the same for the
    result to be served again. `native` is the result as its provider takes it, JSON text.
    """

    call: int
    text: str
    status: ReturnStatus = ReturnStatus.OK
    lines: Lines = NOWHERE
    at_us: int = 0
    unmatched: bool = False
    source: str | None = None
    validator: str | None = None
    images: tuple[Image, ...] = ()
    native: str = ""


@attrs.frozen
class ContextDropped:
    """The harness destroyed context here, in the way of `cut`.

    With `dropped_calls` the results of those calls left it, with `returned_calls` those returned; otherwise nothing
    stays but system messages and what stands in `kept_lines`, which returns where it had left. `told_by` says who
    told it, where that was no row of the transcript.
    """

    boundary: Boundary
    lines: Lines = NOWHERE
    at_us: int = 0
    kept_lines: frozenset[int] = frozenset()
    dropped_calls: tuple[int, ...] = ()
    returned_calls: tuple[int, ...] = ()
    cut: Cut | None = None
    told_by: ToldBy | None = None


@attrs.frozen
class Summary:
    """The text that the harness put in place of what the boundary before it destroyed."""

    text: str
    lines: Lines = NOWHERE
    at_us: int = 0


Step: TypeAlias = (
    SystemMessage
    | UserMessage
    | SkillLoaded
    | RulesLoaded
    | FileShown
    | ModelMessage
    | ToolResult
    | ContextDropped
    | Summary
)
"""One thing that happened. Times are UTC microseconds; a live session stamps those that are 0 with its clock."""
