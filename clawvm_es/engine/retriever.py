"""Full-text retrieval for policies that have nothing better: an index in memory, ranked by BM25."""

from __future__ import annotations

from itertools import islice
from typing import Final

from clawvm_es.model.pages import Author, PageType
from clawvm_es.representations.terms import phrases
from clawvm_es.storage import ranked_texts

QUERY_WORDS: Final = 64
"""Words of a query (in scripts without blanks: pairs of characters) that are searched for, the first ones."""


class Retriever:
    """An index over the full texts of pages; ties are broken by the order in which pages were first written."""

    def __init__(self) -> None:
        self._texts = ranked_texts()

    def put(self, number: int, text: str) -> None:
        """Index the text of page `number`, in place of what it held before."""
        self._texts.put(number, text)

    def search(self, query: str, top_k: int) -> tuple[int, ...]:
        """The numbers of the `top_k` pages that match any word of `query` best, best first."""
        return self._texts.best(islice(phrases(query), QUERY_WORDS), top_k)

    def close(self) -> None:
        """Release the index."""
        self._texts.close()


class Retrieval:
    """Retrieval for the next prompt of a policy: the pages that match what user and model said last."""

    def __init__(self) -> None:
        self._retriever = Retriever()
        self._said: dict[Author, str] = {}

    def put(self, number: int, text: str, page_type: PageType, author: Author) -> None:
        """Take in the text of page `number`, in place of what it held before."""
        self._retriever.put(number, text)
        if page_type is PageType.CONVERSATION:
            self._said[author] = text

    def best(self, top_k: int) -> tuple[str, ...]:
        """The ids of the `top_k` pages that match best, best first."""
        return self.search(" ".join(self._said.get(author, "") for author in (Author.USER, Author.MODEL)), top_k)

    def search(self, query: str, top_k: int) -> tuple[str, ...]:
        """The ids of the `top_k` pages that match any word of a query best, best first."""
        return tuple(f"p{number}" for number in self._retriever.search(query, top_k))

    def close(self) -> None:
        """Release the index."""
        self._retriever.close()
