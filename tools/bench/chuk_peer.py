"""chuk-ai-session-manager as a peer of an assembly: it packs its pages and their manifest into one message."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from random import Random
from typing import Any

from bench.workload import make_text

PEER = "chuk-ai-session-manager"


def builder(pages: int) -> Callable[[], object]:
    """What builds the context of a session with so many pages, all of them in the working set."""
    from chuk_ai_session_manager.memory.manager import MemoryManager

    random, manager = Random(11), MemoryManager(session_id="bench")

    async def fill() -> None:
        for _ in range(pages):
            page: Any = manager.create_page(make_text(random, 400))
            await manager.add_to_working_set(page)

    asyncio.run(fill())
    return lambda: manager.build_context(system_prompt="bench")
