"""Conversations as lists of messages: LAW-TOLD-1 and 2 over lists that grow and are changed in any way."""

from __future__ import annotations

from typing import Any

import attrs
from hypothesis import given, settings
from hypothesis import strategies as st

from clawvm_es import Call, Journal
from clawvm_es.integrations.observing import HANDLES, Answered, Conversations, Ended, Message, Said, named, plan
from clawvm_es.journal.lineage import read_session
from clawvm_es.representations.messages import Kind, Role, Shape, broken
from clawvm_es.testing import memory_journal

CHANGES = ("says", "answers", "ends", "ends", "removes", "edits", "goes back")
OPTIONS = {"counter": "lines4", "budget_tokens": 100_000}


def changed(messages: list[Message], what: str, place: int, number: int) -> list[Message]:
    """The list after a change; `number` tells new messages apart, `place` is where it happens."""
    at = place % (len(messages) + 1)
    if what == "says":
        return [*messages, Said(f"user says {number}", ident=f"u{number}")]
    if what == "answers":
        calls = tuple(Call(f"c{number}_{n}", "read", {"path": f"/{n}"}) for n in range(place % 3))
        return [*messages, Answered(f"model says {number}", calls, ident=f"a{number}")]
    if what == "ends":
        ended = {each.call_id for each in messages if isinstance(each, Ended)}
        calls = [call for each in messages if isinstance(each, Answered) for call in each.calls]
        waiting = [call for call in calls if call.id not in ended]
        return [*messages, *(Ended(call.id, f"result {call.id} {number}") for call in waiting[:1])]
    if what == "removes":
        return messages[:at] + messages[at + 1 :]
    if what == "edits":
        return (
            messages[:at]
            + [attrs.evolve(each, text=f"edited {number}") for each in messages[at : at + 1]]
            + (messages[at + 1 :])
        )
    return messages[:at]


@st.composite
def lists(draw: st.DrawFn) -> list[list[Message]]:
    """One list of messages after the other, as a framework hands them over."""
    found: list[list[Message]] = [[Said("user says hello", ident="u")]]
    for number in range(draw(st.integers(1, 12))):
        found.append(changed(found[-1], draw(st.sampled_from(CHANGES)), draw(st.integers(0, 9)), number))
    return [messages for messages in found if messages]


def talk(found: Any) -> list[str]:
    """Texts of user and model in a prompt, in order; in a frame are results that came late, or that nobody awaits."""
    texts = [block.text for block in found.blocks if block.kind is Kind.TEXT and block.page_id]
    return [text for text in texts if not text.startswith("<page")]


def events(journal: Journal) -> dict[str, list[tuple[str, bytes]]]:
    """The events of all sessions of a journal."""
    return {
        found.session_id: [(row.type, row.hash) for row in read_session(journal.log, found.session_id)]
        for found in journal.sessions()
    }


@settings(deadline=None, max_examples=25)
@given(told=lists())
def test_a_prompt_says_what_the_list_says_however_it_was_changed(told):
    """One handle or a new one each time: the same events, and with room for all a prompt that says just the list."""
    journals = [Journal.open("memory:", seed=3, clock=lambda: 1_000_000) for _ in range(2)]
    kept = Conversations(journals[0], OPTIONS)
    for messages in told:
        listed = named(messages)
        prompts = [each.of("c").prompt(listed) for each in (kept, Conversations(journals[1], OPTIONS))]
        assert prompts[0] == prompts[1] == kept.of("c").prompt(listed)
        assert talk(prompts[0]) == [each.text for each in messages if not isinstance(each, Ended)]
        assert all(each.text in prompts[0].text for each in messages)
        assert broken(prompts[0].messages(), Shape.ANTHROPIC) == []
    assert events(journals[0]) == events(journals[1])


def test_what_was_recorded_stays_where_the_list_is_changed():
    """LAW-TOLD-2: the events of a line are never touched again once the list went another way."""
    first = [Said("one", ident="1"), Answered("two", ident="2"), Said("three", ident="3")]
    with memory_journal() as journal:
        conversation = Conversations(journal, OPTIONS).of("c")
        conversation.prompt(named(first))
        before = events(journal)["c"]
        conversation.prompt(named([*first[:2], Said("other", ident="4")]))
        after = events(journal)
        assert after["c"] == before
        assert len(after) == 2
        assert conversation.session.session_id == "c~2"


def test_messages_without_ids_are_known_by_what_they_say():
    """The same text twice is two messages, and a list that goes on from it says so."""
    listed = named([Said("yes"), Said("yes"), Ended("c", "x"), Ended("c", "y")])
    assert len(listed) == 4
    assert plan((), listed).new == tuple(listed)
    with memory_journal() as journal:
        conversation = Conversations(journal, OPTIONS).of("c")
        conversation.tell(listed)
        conversation.tell(named([*listed.values(), Said("yes")]))
        assert len(conversation.session.state.pages) == 5
        assert len(journal.sessions()) == 1


def test_only_so_many_conversations_are_held_open():
    """The one that was used longest ago is let go, and goes on where it was when it is used again."""
    with memory_journal() as journal:
        conversations = Conversations(journal, OPTIONS)
        first = conversations.of("c0")
        first.tell(named([Said("one")]))
        for number in range(1, HANDLES + 1):
            conversations.of(f"c{number}")
        again = conversations.of("c0")
        assert again is not first
        again.tell(named([Said("one"), Said("two")]))
        assert [page.author.value for page in again.session.state.pages.values()] == [Role.USER.value] * 2
