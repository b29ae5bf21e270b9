"""Two conversations with a model, as histories: what a provider may answer, each thing at least once."""

from __future__ import annotations

import json
from typing import Any

from clawvm_es.engine.hooks import Call
from clawvm_es.model.facts import ReturnStatus
from clawvm_es.representations.messages import Shape
from clawvm_es.testing.histories import Answer, Done, Ended, History, Move, Said

OK = ReturnStatus.OK


def lines(what: str, count: int) -> str:
    """A text of some lines."""
    return "\n".join(f"{number} {what} of a file that was read" for number in range(1, count + 1))


def read(call_id: str, path: str) -> Call:
    """A call that reads a file."""
    return Call(call_id, "Read", {"file_path": path})


def answer(shape: Shape, text: str, *calls: Call, thinks: str = "", fixed: int = 0) -> Answer:
    """An answer with its provider's own form of it, which holds the thoughts where the provider sends them."""
    if shape is Shape.OPENAI:
        made = [
            {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": json.dumps(call.args)}}
            for call in calls
        ]
        return Answer(text, calls, {"role": "assistant", "content": text, "tool_calls": made}, fixed)
    items: list[dict[str, Any]] = [{"type": "thinking", "thinking": thinks, "signature": "c2ln"}] if thinks else []
    items += [{"type": "text", "text": text}] if text else []
    items += [{"type": "tool_use", "id": call.id, "name": call.name, "input": call.args} for call in calls]
    return Answer(text, calls, items, fixed)


def image(shape: Shape) -> list[dict[str, Any]] | None:
    """A result with a picture, as one provider takes it."""
    source = {"type": "base64", "media_type": "image/png", "data": "aGk="}
    return [{"type": "image", "source": source}] if shape is Shape.ANTHROPIC else None


def not_taken_back(shape: Shape) -> list[Move]:
    """Answers whose own form a provider would not take back: other calls, a text without a word, an odd name."""
    one, two, three = read("a11", "/a.txt"), read("a12", "/b.txt"), Call("a13", "mcp.tool", {"q": 2})
    other, blank = answer(shape, "Other calls.", read("z", "/z.txt")), answer(shape, "A blank.", two)
    if shape is Shape.ANTHROPIC:
        blank = Answer("A blank.", (two,), [{"type": "text", "text": " "}, *blank.native])
    return [
        Answer("Other calls.", (one,), other.native),
        Ended(11, "one", OK),
        blank,
        Ended(12, "two", OK),
        answer(shape, "A dot.", three),
        Ended(13, "three", OK),
        Answer("Nothing.", (), [] if shape is Shape.ANTHROPIC else {"role": "assistant", "content": " "}),
    ]


def odd_ones(shape: Shape) -> list[Move]:
    """Calls without an id, with an odd one, with a used one; results that are late, twice, early, failed, blank."""
    todos = {"todos": [{"content": "mend the parser", "status": "pending"}]}
    return [
        Said("Fix the parser.\nAnd the printer."),
        answer(shape, "I look at both.", read("a1", "/a.txt"), read("a2", "/b.txt"), thinks=lines("thought", 3)),
        Ended(2, lines("b", 9), OK),
        Ended(1, lines("a", 12), OK),
        answer(shape, "", Call("a3", "Bash", {"command": "make"})),
        Ended(3, "", ReturnStatus.ERROR),
        Answer(" ", (Call("", "Bash", "not JSON"), Call("a:b", "mcp.tool", {"q": 1}), read("a1", "/CLAUDE.md"))),
        Ended(5, "odd", OK),
        Ended(6, "- You must test.\n- Never guess.", OK),
        answer(shape, "A plan.", Call("a7", "TodoWrite", todos)),
        Ended(7, "Todos have been modified", OK),
        Done("needs", 2),
        answer(shape, "Look.", read("a8", "/c.png"), thinks="short"),
        Ended(8, "a picture", OK, 1, image(shape)),
        Ended(4, "it comes late", ReturnStatus.ERROR),
        answer(shape, "Twice.", read("a9", "/a.txt")),
        Ended(9, lines("a", 12), OK),
        Ended(9, "and again", OK),
        Said(""),
        Ended(10, "before its call", OK),
        answer(shape, "It was there.", read("a10", "/d.txt"), fixed=30),
        answer(shape, "Done."),
        *not_taken_back(shape),
        Done("retires", 3),
        Done("rewrites", 1),
        answer(shape, "More.", read("a14", "/e.txt"), read("a15", "/f.txt")),
        Ended(14, lines("e", 6), OK),
        Answer("done", ()),
    ]


def long_one(shape: Shape) -> list[Move]:
    """Many files under a small budget, with needs of what has left, pins, prunings and another budget."""
    moves: list[Move] = []
    for number in range(1, 13):
        moves.append(answer(shape, f"File {number}.", read(f"f{number}", f"/f{number}.txt"), thinks="t" * number))
        moves.append(Ended(number, lines(f"f{number}", 4 + number % 5), OK))
        if number % 3 == 0:
            moves += [Said(f"And number {number}?"), Done("needs", number % 5)]
        if number == 5:
            moves += [Done("rules", 1), Done("pins", 3), Done("needs", 4)]
        if number == 8:
            moves += [Done("prune", 0), Done("rules", 2)]
        if number == 10:
            moves += [Done("budget", 4), Done("compact", 0)]
    return [*moves, answer(shape, "Two.", read("g1", "/g.txt"), read("g2", "/h.txt")), Answer("done", ())]


HISTORIES = {
    "odd": History(Shape.ANTHROPIC, "clawvm", 420, tuple(odd_ones(Shape.ANTHROPIC))),
    "odd, of another shape": History(Shape.OPENAI, "lru", 420, tuple(odd_ones(Shape.OPENAI))),
    "long": History(Shape.ANTHROPIC, "clawvm", 380, tuple(long_one(Shape.ANTHROPIC))),
    "long, selected at every turn": History(Shape.OPENAI, "clawvm_turn", 420, tuple(long_one(Shape.OPENAI))),
}
