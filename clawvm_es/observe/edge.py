"""The edge: turns text into facts. Token counts, levels, commitments and ordinals are computed here, once.

Events hold only the facts that this module computed; no layer below it ever sees a text.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from hashlib import blake2b, sha256
from types import MappingProxyType

import attrs

from clawvm_es import limits
from clawvm_es.journal.ports import Vault
from clawvm_es.model.events import PageWritten
from clawvm_es.model.facts import Resource, ResourceClass
from clawvm_es.model.pages import Author, Fidelity, Level, Origin, PageType
from clawvm_es.observe.arguments import STUB_BUILDER
from clawvm_es.observe.sizes import Sizes
from clawvm_es.representations.builders import LevelBuilder
from clawvm_es.representations.counter import TokenCounter
from clawvm_es.representations.frame import Frame
from clawvm_es.representations.ladder import FULL_BUILDER, build_levels
from clawvm_es.representations.secrets import hide


def encode(text: str) -> bytes:
    """Text as the bytes of a body: UTF-8, lone surrogates kept."""
    return text.encode("utf-8", "surrogatepass")


def decode(body: bytes) -> str:
    """The text of a body, lone surrogates restored."""
    return body.decode("utf-8", "surrogatepass")


@attrs.frozen
class WrittenPage:
    """A `page_written`, with the unframed texts of its kept levels."""

    event: PageWritten
    levels: Mapping[Fidelity, str]


@attrs.define
class Ordinals:
    """Session-local ordinals of keys, in order of first occurrence, from 1.

    In a continued session, `count` keys are known already, and `find` looks up the ordinal of a recorded key. Keys
    are held by their digests, since a key contains the whole arguments of a call.
    """

    count: int = 0
    find: Callable[[str], int | None] | None = None
    _of: dict[bytes, int] = attrs.field(factory=dict, init=False)

    def get(self, key: str) -> int | None:
        """The ordinal of `key`; None if it is new."""
        known = self._of.get(_digest(key))
        if known is None and self.find is not None and (known := self.find(key)) is not None:
            self._of[_digest(key)] = known
        return known

    def intern(self, key: str) -> tuple[int, bool]:
        """The ordinal of `key`, and whether it is new."""
        known = self.get(key)
        if known is not None:
            return known, False
        self.count += 1
        self._of[_digest(key)] = self.count
        return self.count, True

    def forget(self, beyond: int) -> None:
        """Drop the keys with ordinals above `beyond`, because the event that named them was not recorded."""
        if self.count > beyond:
            self.count = beyond
            self._of = {key: ordinal for key, ordinal in self._of.items() if ordinal <= beyond}


def _digest(key: str) -> bytes:
    return blake2b(encode(key), digest_size=16).digest()


class Edge:
    """Turns text into facts for one session: counts, levels, commitments, ordinals of signatures and resources."""

    def __init__(
        self,
        vault: Vault,
        counter: TokenCounter,
        hide_secrets: bool = False,
        builders: Mapping[PageType, LevelBuilder] = MappingProxyType({}),
        renderer: str = "",
    ) -> None:
        """With `hide_secrets`, every credential of a known form is replaced by its kind.

        `builders` make the levels of pages of their types, in place of builders chosen by content. Texts are counted
        as the `renderer` sends them.
        """
        self.vault = vault
        self.counter = counter
        self.sizes = Sizes.of(counter, renderer)
        self.hide_secrets = hide_secrets
        self.builders = builders
        self.full_only = False  # no level below full is built, where nothing will be selected
        self.hidden: dict[bytes, None] = {}  # digests of texts in which something was hidden
        self.signatures = Ordinals()
        self.resource_keys = Ordinals()
        self.texts: OrderedDict[str, str] = OrderedDict()  # of pages that were written last, by commitment

    def fresh(self) -> Edge:
        """An edge of the same kind that knows no keys yet."""
        edge = Edge(self.vault, self.counter, self.hide_secrets, self.builders)
        edge.full_only, edge.sizes = self.full_only, self.sizes
        return edge

    def renders(self, renderer: str) -> None:
        """Count texts from now on as a given renderer sends them."""
        self.sizes = Sizes.of(self.counter, renderer)

    def clean(self, text: str) -> str:
        """The text as it may be stored: without hidden credentials."""
        if not self.hide_secrets:
            return text
        clean, found = hide(text)
        if found:
            self.hidden[sha256(encode(clean)).digest()] = None
        return clean

    def mark(self) -> tuple[int, int]:
        """Number of known keys, for `rewind`."""
        return self.signatures.count, self.resource_keys.count

    def rewind(self, mark: tuple[int, int]) -> None:
        """Forget the keys that were interned since `mark`."""
        self.signatures.forget(mark[0])
        self.resource_keys.forget(mark[1])

    def open(self, commitment: str | None) -> str | None:
        """The text behind a commitment; None if there is no commitment, or the text was sealed or erased."""
        body = self.vault.open(commitment) if commitment else None
        return None if body is None else decode(body)

    def open_all(self, commitments: Iterable[str]) -> dict[str, str]:
        """The texts behind many commitments; sealed and erased texts are left out."""
        return {name: decode(body) for name, body in self.vault.open_all(tuple(commitments)).items()}

    def text(self, text: str) -> str:
        """Keep `text` as a body and return the commitment to it."""
        return self.vault.commit(encode(self.clean(text)))

    def arguments(
        self, text: str, stub: str | None = None, name: str = "", call_id: str = ""
    ) -> tuple[str, tuple[Level, ...]]:
        """The commitment to the arguments of a call, and their levels: full, and a stub if it is smaller.

        Tokens count the text itself; if prompts are messages, the whole call with its name and id.
        """
        kept = self.clean(text)
        commitment = self.vault.commit(encode(kept))
        full = Level(Fidelity.FULL, self.sizes.call(call_id, name, kept), commitment, FULL_BUILDER)
        tokens = full.tokens if stub is None else self.sizes.call(call_id, name, stub)
        if stub is None or tokens >= full.tokens:
            return commitment, (full,)
        return commitment, (full, Level(Fidelity.STRUCTURED, tokens, self.text(stub), STUB_BUILDER))

    def _page_text(self, text: str) -> str:
        """Keep a text that will be rendered soon."""
        commitment = self.text(text)
        if len(text) <= limits.TEXT_AT_HAND_CHARS:
            self.texts[commitment] = text
            if len(self.texts) > limits.TEXTS_AT_HAND:
                self.texts.popitem(last=False)
        return commitment

    def count(self, text: str) -> int:
        """Tokens of `text`."""
        return self.counter.count(text)

    def page(
        self,
        page_id: str,
        page_type: PageType,
        text: str,
        *,
        author: Author,
        origin: Origin,
        source: str = "",
        active: bool = True,
        signature: int | None = None,
        group: int | None = None,
        native: str = "",
    ) -> WrittenPage:
        """Build and count the levels of a page's text, and keep them as bodies.

        `source` is one line that names the text's origin (a path, or a tool and its arguments), which the page's
        frame shows. `native` is the provider's own form of the content, if it is counted.
        """
        text, source = self.clean(text), self.clean(source)
        frame = Frame(page_id, page_type, author, source)
        size = self.sizes.page(frame, origin, group, native)
        builder = self.builders.get(page_type)
        built = build_levels(page_type, text, frame, self.counter, builder, full_only=self.full_only, size=size)
        event = PageWritten(
            page_id=page_id,
            page_type=page_type,
            author=author,
            origin=origin,
            levels=tuple([Level(b.level, b.tokens, self._page_text(b.text), b.builder) for b in built]),
            active=active,
            signature=signature,
            source=self._page_text(source) if source else None,
            group=group,
        )
        return WrittenPage(event, {b.level: b.text for b in built})

    def signature(self, key: str) -> tuple[int, str | None]:
        """The ordinal of a call signature, and the commitment to it at its first occurrence."""
        key = self.clean(key)
        ordinal, new = self.signatures.intern(key)
        return ordinal, self.text(key) if new else None

    def resource(self, key: tuple[ResourceClass, str]) -> int | None:
        """The ordinal of a resource key that occurred before, else None."""
        return self.resource_keys.get(f"{key[0]}:{self.clean(key[1])}")

    def resources(self, keys: Iterable[tuple[ResourceClass, str]]) -> tuple[tuple[int, ...], tuple[Resource, ...]]:
        """The ordinals of resource keys, and those among them that occur for the first time."""
        ordinals: list[int] = []
        fresh: list[Resource] = []
        for kind, given in keys:
            key = self.clean(given)
            ordinal, new = self.resource_keys.intern(f"{kind}:{key}")
            ordinals.append(ordinal)
            if new:
                fresh.append(Resource(kind, self.text(key)))
        return tuple(ordinals), tuple(fresh)
