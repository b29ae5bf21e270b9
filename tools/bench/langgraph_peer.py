"""langgraph-checkpoint-sqlite as a peer: after every step it stores the whole state, so any step can be had again."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench import peers

PEER = "langgraph-checkpoint-sqlite"
MISSING = peers.missing(PEER)


def available() -> bool:
    """Tell whether it is installed."""
    return peers.available(PEER)


class Peer:
    """A checkpointer over one file in WAL mode, `synchronous=NORMAL` as ours; a state is a list of messages."""

    def __init__(self, path: Path) -> None:
        from langgraph.checkpoint.sqlite import SqliteSaver

        self.db = sqlite3.connect(path, check_same_thread=False)
        self.saver = SqliteSaver(self.db)
        self.saver.setup()
        self.db.execute("PRAGMA synchronous=normal")
        self.steps: list[Any] = []  # the configuration that names each checkpoint

    def put(self, messages: Sequence[str], thread: str = "live", parent: Any = None) -> Any:
        """Store the state after one more step; what names it."""
        from langgraph.checkpoint.base import empty_checkpoint

        step = len(self.steps)
        checkpoint = empty_checkpoint()
        checkpoint["channel_values"] = {"messages": [{"role": "user", "content": text} for text in messages]}
        checkpoint["channel_versions"] = versions = {"messages": step + 1}
        config = parent or {"configurable": {"thread_id": thread, "checkpoint_ns": ""}}
        made = self.saver.put(config, checkpoint, {"source": "loop", "step": step, "parents": {}}, versions)
        if thread == "live":
            self.steps.append(made)
        return made

    def get(self, step: int) -> list[str]:
        """The messages of an old step."""
        found = self.saver.get_tuple(self.steps[step])
        assert found is not None
        return [message["content"] for message in found.checkpoint["channel_values"]["messages"]]

    def history(self) -> int:
        """Read the state of every step; how many there are."""
        return sum(1 for _ in self.saver.list({"configurable": {"thread_id": "live"}}))

    def fork(self, step: int, name: str) -> None:
        """Go on from an old step in a thread of its own."""
        self.put(self.get(step), thread=name)

    def bytes(self) -> int:
        """The size of the database, all of it checkpointed."""
        self.db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        pages, size = (self.db.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "page_size"))
        return int(pages * size)

    def close(self) -> None:
        """Release the file."""
        self.db.close()
