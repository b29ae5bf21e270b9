"""Steps: the facts of a harness, recorded or live, in its own order; pages, needs and events follow later.

| step | meaning |
|---|---|
| `SystemMessage`, `UserMessage`, `SkillLoaded`, `RulesLoaded`, `FileShown` | a text entered the context |
| `ModelMessage` | the model answered: texts, calls, thinking, usage |
| `ToolResult` | a call ended |
| `ContextDropped` | the harness destroyed context, or went back to an earlier message |
| `Summary` | the text that the harness put in its place |

`observer` derives commands and facts from steps.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, TypeAlias

import attrs

from clawvm_es.model.facts import Boundary, Cut, Finish, ReturnStatus, ToldBy


@attrs.frozen
class Lines:
    """Lines (records) `first` to `last` of the file, counted from 1; 0 if there is no file."""

    first: int = 0
    last: int = 0


NOWHERE: Final = Lines()
"""The place of a step that stands in no file: a live harness told it."""


@attrs.frozen
class Usage:
    """Token counts reported by the provider: the whole prompt, its cached part, the answer.

    `written_tokens` is the part of the prompt that was written to the cache, `thinking_tokens` the part of the answer
    that the user does not see.
    """

    input_tokens: int = 0
    cached_tokens: int = 0
    output_tokens: int = 0
    written_tokens: int = 0
    thinking_tokens: int = 0


@attrs.frozen
class Image:
    """An image or document: its media type, its size in bytes and their SHA-256, or its `url`."""

    media_type: str = ""
    size_bytes: int = 0
    digest: str = ""
    url: str = ""

    @property
    def text(self) -> str:
        """The line that represents it in a page."""
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
    """A text of the user; `harness` if the harness itself put the text into the context.

    `source` is its source line, unless the user typed it.
    """

    text: str
    lines: Lines = NOWHERE
    at_us: int = 0
    harness: bool = False
    images: tuple[Image, ...] = ()
    source: str = ""


@attrs.frozen
class SkillLoaded:
    """Instructions that the harness loaded; `name` is their source."""

    text: str
    name: str
    lines: Lines = NOWHERE
    at_us: int = 0


@attrs.frozen
class RulesLoaded:
    """A rules file that the harness itself put into the context; `path` is its absolute path."""

    text: str
    path: str
    lines: Lines = NOWHERE
    at_us: int = 0


@attrs.frozen
class FileShown:
    """A file, or a part of it, that the harness itself put into the context; `path` is its absolute path.

    `told_by` is the source of the fact, if that is not a row of the transcript.
    """

    text: str
    path: str
    lines: Lines = NOWHERE
    at_us: int = 0
    images: tuple[Image, ...] = ()
    told_by: ToldBy | None = None


@attrs.frozen
class ToolUse:
    """One call: `call` counts calls of the session from 1, `cwd` is the base of relative paths.

    `text` holds the arguments in their stored form, if that is not their canonical JSON. `call_id` is the harness's
    own id of the call. An `unsent` call is in no prompt after its answer: the harness does not send it back.
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
    """The answer of one model call, from `began_us` to `at_us`.

    `continued` means that it adds blocks to an answer that other steps have already followed. `thinking` are the
    model's thoughts, `model` and `provider` the names in the answer, if any; `native` is the answer as its provider
    wrote it, as JSON text. `fixed` is the fixed region of its prompt, or a text that changes with it, and
    `fixed_tokens` its size.
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

    `source` is its source line, if that is not the call's own. The result is served again only while `validator`
    stays the same. `native` is the result in its provider's form, as JSON text.
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
    """The harness destroyed context here, in the way that `cut` says.

    With `dropped_calls`, the results of those calls left; with `returned_calls`, those results returned. Otherwise
    only system messages and `kept_lines` remain; kept lines that had left return. `told_by` is the source of the
    fact, if that is not a row of the transcript.
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
    """The text that the harness put in place of the context destroyed by the boundary before it."""

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
