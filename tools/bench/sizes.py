"""How much is measured: the full run, and a quick one that only shows that everything works."""

from __future__ import annotations

import attrs


@attrs.frozen
class Sizes:
    """Rounds, and the amount of work in each."""

    rounds: int = 7
    tries: int = 3
    append_events: int = 20_000
    append_commits: int = 2_000
    append_commits_full: int = 200
    fold_events: int = 200_000
    fold_sessions: int = 100
    peer_sessions: int = 10
    recorded_sessions: int = 12
    memory_events: tuple[int, int] = (20_000, 80_000)
    state_turns: int = 10_000
    state_samples: int = 300
    resume_events: tuple[int, int] = (500, 8_000)
    policy_pages: int = 2_000
    peer_pages: int = 1_000
    policy_turns: int = 300
    durable_warm: int = 100
    durable_steps: int = 400
    session_turns: tuple[int, int] = (200, 2_000)
    turns_around: int = 100
    writers: int = 20
    writer_commits: int = 200
    redecide_events: int = 20_000
    steps: int = 1_000
    other_sessions: int = 300
    long_turns: int = 10_000


QUICK = Sizes(
    rounds=1,
    tries=1,
    append_events=300,
    append_commits=20,
    append_commits_full=5,
    fold_events=2_000,
    fold_sessions=4,
    peer_sessions=2,
    recorded_sessions=1,
    memory_events=(500, 1_000),
    state_turns=40,
    state_samples=10,
    resume_events=(60, 240),
    policy_pages=300,
    peer_pages=40,
    policy_turns=20,
    durable_warm=3,
    durable_steps=5,
    session_turns=(20, 60),
    turns_around=10,
    writers=4,
    writer_commits=3,
    redecide_events=400,
    steps=30,
    other_sessions=5,
    long_turns=60,
)
"""The smallest run that still goes through everything; its times mean nothing."""
