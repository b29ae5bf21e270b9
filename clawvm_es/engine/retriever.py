"""Full-text retrieval for policies that have nothing better: SQLite FTS5, ranked by BM25, in memory."""

from __future__ import annotations

import sqlite3
from itertools import islice
from typing import Final

from clawvm_es.model.pages import Author, PageType
from clawvm_es.representations.terms import indexed, phrases

QUERY_WORDS: Final = 64
"""Words of a query (in scripts without blanks: pairs of characters) that are searched for, the first ones."""


class Retriever:
    """An index over the full texts of pages; ties are broken by the order in which pages were first written."""

    def __init__(self) -> None:
        self._db = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
        self._db.execute("CREATE VIRTUAL TABLE pages USING fts5(text, tokenize='ascii')")

    def put(self, number: int, text: str) -> None:
        """Index the text of page `number`, in place of what it held before."""
        self._db.execute("DELETE FROM pages WHERE rowid = ?", (number,))
        self._db.execute("INSERT INTO pages(rowid, text) VALUES (?, ?)", (number, indexed(text)))

    def search(self, query: str, top_k: int) -> tuple[int, ...]:
        """The numbers of the `top_k` pages that match any word of `query` best, best first."""
        asked = list(islice(phrases(query), QUERY_WORDS))
        if not asked or top_k < 1:
            return ()
        match = " OR ".join(f'"{" ".join(phrase)}"' for phrase in asked)
        rows = self._db.execute(
            "SELECT rowid FROM pages WHERE pages MATCH ? ORDER BY bm25(pages), rowid LIMIT ?", (match, top_k)
        )
        return tuple(row[0] for row in rows)

    def close(self) -> None:
        """Release the index."""
        self._db.close()


class Retrieval:
    """What a retrieval policy's next prompt asks for: the pages that match what user and model said last."""

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
        query = " ".join(self._said.get(author, "") for author in (Author.USER, Author.MODEL))
        return tuple(f"p{number}" for number in self._retriever.search(query, top_k))

    def close(self) -> None:
        """Release the index."""
        self._retriever.close()
