"""Full-text retrieval for policies without another retriever: an index in memory, ranked by BM25."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice
from operator import attrgetter
from typing import Final

from clawvm_es.core.state import State
from clawvm_es.journal.ports import Vault
from clawvm_es.model import events as e
from clawvm_es.model.pages import FULL, Author, PageType
from clawvm_es.observe.edge import decode as decode_text
from clawvm_es.representations.terms import phrases
from clawvm_es.storage import ranked_texts

QUERY_WORDS: Final = 64
"""Words of a query (in scripts without blanks: pairs of characters) that are searched for, the first ones."""


class Retriever:
    """An index over the full texts of pages; ties go to the page that was first written earlier."""

    def __init__(self) -> None:
        self._texts = ranked_texts()

    def put(self, number: int, text: str) -> None:
        """Index the text of page `number`, in place of its earlier text."""
        self._texts.put(number, text)

    def search(self, query: str, top_k: int) -> tuple[int, ...]:
        """The numbers of the `top_k` best matches for any word of `query`, best first."""
        return self._texts.best(islice(phrases(query), QUERY_WORDS), top_k)

    def close(self) -> None:
        """Release the index."""
        self._texts.close()


class Retrieval:
    """Retrieval for the next prompt of a policy: pages that match the last words of user and model."""

    def __init__(self) -> None:
        self._retriever = Retriever()
        self._said: dict[Author, tuple[int, str]] = {}  # number and text of the page that each said last

    def put(self, number: int, text: str, page_type: PageType, author: Author) -> None:
        """Index the text of page `number`, in place of its earlier text."""
        self._retriever.put(number, text)
        if page_type is PageType.CONVERSATION:
            self._said[author] = number, text

    def is_last_of_another(self, number: int, page_type: PageType, author: Author) -> bool:
        """Tell whether page `number` held an author's last message, but now has another author or type."""
        said = [who for who, (last, _) in self._said.items() if last == number]
        return any(page_type is not PageType.CONVERSATION or who is not author for who in said)

    def best(self, top_k: int) -> tuple[str, ...]:
        """The ids of the `top_k` best matches, best first."""
        said = [self._said[author][1] for author in (Author.USER, Author.MODEL) if author in self._said]
        return self.search(" ".join(said), top_k)

    def search(self, query: str, top_k: int) -> tuple[str, ...]:
        """The ids of the `top_k` best matches for any word of a query, best first."""
        return tuple(f"p{number}" for number in self._retriever.search(query, top_k))

    def close(self) -> None:
        """Release the index."""
        self._retriever.close()


class PageIndex:
    """The full-text index of one session's pages, built at the first query and updated as pages are written."""

    def __init__(self, vault: Vault) -> None:
        self._vault = vault
        self._retrieval: Retrieval | None = None

    def wrote(self, state: State, written: e.PageWritten) -> None:
        """Note a page that `state` has folded."""
        if self._retrieval is None:
            return
        number, body = state.pages[written.page_id].number, written.levels[0].body
        if self._retrieval.is_last_of_another(number, written.page_type, written.author):
            self.close()  # what was said before it is not at hand
        else:
            text = _text(body, self._vault.open_all([body]))
            self._retrieval.put(number, text, written.page_type, written.author)

    def best(self, state: State) -> tuple[str, ...]:
        """Pages that match the last words of the user and the model, best first."""
        return self._made(state).best(state.profile.top_k)

    def search(self, state: State, query: str, limit: int) -> tuple[str, ...]:
        """The pages that match any word of a query, best first, without erased pages."""
        found = self._made(state).search(query, limit)
        return tuple(page_id for page_id in found if not state.pages[page_id].redacted)

    def close(self) -> None:
        """Drop the index; the next query builds it again."""
        if self._retrieval is not None:
            self._retrieval.close()
        self._retrieval = None

    def _made(self, state: State) -> Retrieval:
        """The index of all pages, in the order in which their texts were written."""
        if self._retrieval is None:
            self._retrieval = Retrieval()
            pages = sorted(state.pages.values(), key=attrgetter("written_version"))
            for start in range(0, len(pages), _TEXTS_AT_ONCE):
                some = pages[start : start + _TEXTS_AT_ONCE]
                bodies = self._vault.open_all([page.bodies[FULL] or "" for page in some])
                for page in some:
                    text = _text(page.bodies[FULL], bodies)
                    self._retrieval.put(page.number, text, page.page_type, page.author)
        return self._retrieval


_TEXTS_AT_ONCE: Final = 256
"""Texts of pages that are read at once to be indexed."""


def _text(commitment: str | None, bodies: Mapping[str, bytes]) -> str:
    """The text behind a commitment; for an erased text, a mark that names the commitment."""
    if not commitment:
        return ""
    return decode_text(bodies[commitment]) if commitment in bodies else f"[erased {commitment}]"
