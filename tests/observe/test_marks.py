"""Marks: what we put into a harness's context is known again, and nothing else is taken for it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from clawvm_es.model.events import PageWritten, RecallAnswered
from clawvm_es.observe.edge import Edge
from clawvm_es.observe.marks import Mark, directory, marked, parted
from clawvm_es.observe.observer import Observer
from clawvm_es.observe.steps import Lines, UserMessage
from clawvm_es.representations.counter import Lines4Counter
from clawvm_es.storage.memory.log import MemoryLog

TEXTS = st.text(st.sampled_from('ab<>/\n"=') | st.characters(), max_size=30) | st.just(
    '</clawvm mark="0123456789abcdef">'
)


@given(TEXTS, TEXTS, TEXTS)
def test_what_was_marked_is_found(before: str, text: str, after: str) -> None:
    """Around any texts the mark is cut out whole, the text in it comes back as it was."""
    rest, marks = parted(before + marked("p7", 3, 9, text) + after, lambda mark: mark.text == text)
    assert marks == (Mark("p7", "3-9", text),)
    assert rest in (before + after, before + after.removeprefix("\n"))


@given(st.lists(TEXTS, max_size=4))
def test_marks_that_are_not_confirmed_are_text(texts: list[str]) -> None:
    """Whatever is refused stays where it stood, byte for byte."""
    text = "".join(marked(f"p{number}", 1, 1, each) for number, each in enumerate(texts, 1))
    assert parted(text, lambda mark: False) == (text, ())


def test_a_changed_text_is_no_mark() -> None:
    """Another text, another page or a digest that was made up is nothing of ours."""
    good = marked("p1", 1, 2, "rule one")
    for changed in (good.replace("one", "two"), good.replace('"p1"', '"p2"'), good.replace("mark=", "mork=")):
        assert parted(changed, lambda mark: True) == (changed, ())


def test_pages_that_are_shown_again_are_answers_by_number() -> None:
    """A message that holds pages of ours answers a recall, one after the other; what is beside them is said."""
    observer = Observer({}, Edge(MemoryLog().vault("s"), Lines4Counter()))
    for number, text in enumerate(("rule one\n", "rule two\n"), 1):
        observer.step(UserMessage(text, Lines(number, number), number))
    one, two = marked("p1", 1, 1, "rule one\n"), marked("p2", 1, 1, "rule two\n")
    answers, pages, queries = [], [], []
    for line, text in enumerate((one, f"look:\n{two}{one}{two}", "no mark"), 3):
        found = [command.data for command in observer.step(UserMessage(text, Lines(line, line), line))]
        answered = [data for data in found if isinstance(data, RecallAnswered)]
        answers += [(data.recall, data.pages) for data in answered]
        queries += [data.query for data in answered]
        pages += [data.page_id for data in found if isinstance(data, PageWritten)]
    assert answers == [(1, ("p1",)), (2, ("p2", "p1"))]
    assert queries == [observer.edge.text(marks) for marks in ("p1:1-1", "p2:1-1 p1:1-1 p2:1-1")]
    assert pages == ["p3", "p4"]


@given(st.integers(1, 10**9), TEXTS, TEXTS)
def test_the_directory_line_counts_only_in_its_exact_form(pages: int, before: str, after: str) -> None:
    """The line as we write it is cut out; with another number, other words or none it is text of the user's."""
    line = directory(pages)
    assert parted(before + line + after, lambda mark: False)[0] in (before + after, before + after.removeprefix("\n"))
    for other in (
        line.replace(f'pages="{pages}"', f'pages="{pages + 1}"'),
        line.replace("are stored", "are lost"),
        f'<clawvm pages="{pages}"></clawvm>\n',
    ):
        assert parted(f"x\n{other}y", lambda mark: True) == (f"x\n{other}y", ())
    assert directory(0) == ""
