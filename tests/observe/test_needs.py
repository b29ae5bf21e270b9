"""Needs: the two rules of §10, their lengths and limits, and the recorded harness's own context."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clawvm_es import limits
from clawvm_es.limits import NEED_CHARS_MIN, NEED_CHARS_MIN_LEAF, NEED_HOLDERS_MAX
from clawvm_es.model.facts import NeedRule
from clawvm_es.model.pages import Fidelity
from clawvm_es.observe import needs
from clawvm_es.observe.needs import Context, Held, Texts, Written
from clawvm_es.observe.steps import ToolUse
from clawvm_es.observe.tables import TABLES
from clawvm_es.observe.texts import cleaned, json_leaves, pieces
from clawvm_es.observe.tools import named
from clawvm_es.storage.sqlite.substrings import Series

LINE = "def needed_function(argument): return argument"


def context() -> Context:
    """An empty context that counts characters; a body is its own text."""
    return Context(len, lambda body: body)


def page(number: int, text: str, **more: object) -> Held:
    """Page p`number` on line `number` with a full level."""
    fields: dict[str, object] = {"levels": {Fidelity.FULL: text}, "line": number, **more}
    levels = fields.pop("levels")
    assert isinstance(levels, dict)
    return Held(f"p{number}", text, tuple(levels), tuple(levels.values()), **fields)  # type: ignore[arg-type]


def flow(found: Context, name: str, **arguments: object) -> list[list[str]]:
    """The holders of each data-flow need of a Claude Code call."""
    needs = found.data_flow(named(TABLES["claude_code"], name), ToolUse(1, name, arguments, "/w"))
    assert all(need.rule is NeedRule.DATA_FLOW for need in needs)
    return [[holder.page_id for holder in need.holders] for need in needs]


def test_an_edit_needs_the_text_that_it_replaces() -> None:
    """old_string is a need with all its holders, oldest first; new_string and the path are none."""
    found = context()
    for number in (1, 2):
        found.write(page(number, f"x\n{LINE}\ny /w/a.py"))
    assert flow(found, "Edit", file_path="/w/a.py", old_string=LINE, new_string=f"{LINE} + 1") == [["p1", "p2"]]
    assert flow(found, "Edit", file_path="/w/a.py", old_string="x", new_string="z") == []


def test_text_that_the_model_wrote_is_no_need_except_in_edits() -> None:
    """A value that the model wrote earlier needs no page, but an edit still needs the text to be there."""
    found = context()
    found.write(page(1, LINE))
    assert flow(found, "WebSearch", query="needed_function") == [["p1"]]
    found.used(["I shall call needed_function(argument): return argument, def too. " + LINE], [])
    assert flow(found, "WebSearch", query="needed_function") == []
    assert flow(found, "Edit", file_path="a", old_string=LINE, new_string="") == [["p1"]]


def test_pieces_of_commands_and_patterns() -> None:
    """Commands and patterns give their words without a slash; descriptions, paths and here-documents give none."""
    found = context()
    found.write(page(1, "needed_function other_function_name /w/needed_path_name heredoc_content_here"))
    command = "go test ./w/needed_path_name -run 'needed_function' <<'EOF'\nheredoc_content_here\nEOF\n"
    assert flow(found, "Bash", command=command, description="other_function_name") == [["p1"]]
    assert flow(found, "Grep", pattern=r"func \(.*needed_function\(", path="/w/needed_path_name") == [["p1"]]
    assert list(pieces("grep -rn 'a.b' x/y 'longer-word'")) == ["longer-word"]


def test_short_texts_count_when_they_are_a_leaf_with_a_digit() -> None:
    """Five characters with a digit count if they equal a JSON leaf of an earlier result, whatever became of it."""
    found = context()
    result = page(1, '{"user": {"id": "mia_1", "name": "Maria"}, "zip": 12345}', call=1)
    found.write(result)
    found.write(page(2, "my id is mia_1 of course"))
    tool = named(TABLES["openai_chat"], "get_user_details")
    for value, holders in (("mia_1", [["p1", "p2"]]), ("Maria", []), ("12345", [["p1"]]), ("mia_", [])):
        needs = found.data_flow(tool, ToolUse(1, tool.name, {"user_id": value}))
        assert [[h.page_id for h in need.holders] for need in needs] == holders, value
    found.move(found.results([1]), (), compaction=False)
    assert len(found.data_flow(tool, ToolUse(1, tool.name, {"user_id": "mia_1"}))) == 1
    found.forget("p1")
    assert found.data_flow(tool, ToolUse(1, tool.name, {"user_id": "mia_1"})) == ()


def test_nested_arguments_and_unknown_tools() -> None:
    """Strings inside objects and lists are values; of unknown tools too, by the usual names of arguments."""
    found = context()
    found.write(page(1, "payment certificate_7504069 of an older_description"))
    book = {"payments": [{"payment_id": "certificate_7504069"}], "description": "an older_description"}
    assert flow(found, "mcp__unknown", **book) == [["p1"]]


def test_a_text_that_stands_in_many_pages_identifies_none() -> None:
    """More than eight holders are no need."""
    found = context()
    for number in range(1, 9):
        found.write(page(number, LINE))
    assert len(flow(found, "Edit", old_string=LINE)[0]) == 8
    found.write(page(9, LINE))
    assert flow(found, "Edit", old_string=LINE) == []


def had(found: Context) -> dict[str, bool | None]:
    """The holders of the line: whether the recorded harness had each."""
    needs = found.data_flow(named(TABLES["claude_code"], "Edit"), ToolUse(1, "Edit", {"old_string": LINE}))
    return {holder.page_id: holder.recorded_resident for need in needs for holder in need.holders}


def test_holders_say_whether_the_recorded_harness_still_had_them() -> None:
    """Compaction drops all but system pages and kept lines; a prune drops the results it names; all go on holding."""
    found = context()
    found.write(page(1, LINE, permanent=True))
    for number in (2, 3, 4):
        found.write(page(number, LINE, call=number))
    assert found.results([3]) == ("p3",)
    found.move(found.results([3]), (), compaction=False)
    assert had(found) == {"p1": True, "p2": True, "p3": False, "p4": True}
    found.move(*found.moved(frozenset((4,))), compaction=True)
    assert list(found.resident) == ["p1", "p4"]
    assert had(found) == {"p1": True, "p2": False, "p3": False, "p4": True}


def test_pages_of_a_branch_that_was_left_hold_nothing_until_the_session_returns() -> None:
    """The model never saw them on its new branch, so nothing that it uses can come from them."""
    found = context()
    found.write(page(1, f"{LINE}\n{LINE}", signature=1, path="/a", call=1))
    found.move(("p1",), (), compaction=False, rewind=True)
    assert had(found) == {} and found.repeated_read(page(2, LINE, signature=1, path="/a")) == ()
    found.move((), ("p1",), compaction=False, rewind=True)
    assert had(found) == {"p1": True} and len(found.repeated_read(page(2, LINE, signature=1, path="/a"))) == 1
    found.move(("p1",), (), compaction=False, rewind=True)
    found.write(page(1, LINE))
    assert had(found) == {"p1": True}


def test_a_summary_holds_what_its_pages_hold_and_nothing_of_its_own() -> None:
    """It is a holder beside them; a text that it alone has comes from no page, and it counts for no limit."""
    found = context()
    found.write(page(1, "A summary says " + LINE, summary=True))
    assert had(found) == {}
    for number in range(2, 2 + NEED_HOLDERS_MAX):
        found.write(page(number, LINE))
    assert len(had(found)) == 1 + NEED_HOLDERS_MAX and had(found)["p1"]


def test_levels_are_those_whose_text_contains_the_need() -> None:
    """Full always counts, lower levels where the text stands in them, a pointer only for handle, tool and path."""
    found = context()
    levels = {
        Fidelity.FULL: f"{LINE}\nmore text here",
        Fidelity.COMPRESSED: LINE,
        Fidelity.STRUCTURED: "needed nothing",
        Fidelity.POINTER: f"{LINE} /w/some_module.py",
    }
    found.write(page(1, levels[Fidelity.FULL] + " /w/some_module.py", levels=levels, path="/w/some_module.py"))
    (need,) = found.data_flow(named(TABLES["claude_code"], "Edit"), ToolUse(1, "Edit", {"old_string": LINE}))
    assert need.holders[0].levels == (Fidelity.FULL, Fidelity.COMPRESSED)
    assert need.tokens == len(LINE)
    (path,) = found.data_flow(named(TABLES["claude_code"], "x"), ToolUse(1, "x", {"where": "/w/some_module.py"}))
    assert path.holders[0].levels == (Fidelity.FULL, Fidelity.POINTER)


def test_repeated_reads() -> None:
    """One signature or path at any time; another text, of that call or after a compaction, is a changed re-read."""
    found = context()
    found.write(page(1, f"{LINE}\n{LINE}", signature=1, path="/a", call=1))
    again = page(2, LINE, signature=1, path="/a", call=2)
    (need,) = found.repeated_read(again)
    assert need.rule is NeedRule.REPEATED_READ and [h.page_id for h in need.holders] == ["p1"]
    assert found.repeated_read(page(3, LINE, signature=2, path="/a")) == (need,)
    assert found.repeated_read(page(3, f"other {LINE}", signature=2, path="/a")) == ()
    found.move(*found.moved(frozenset()), compaction=True)
    (need,) = found.repeated_read(page(3, LINE, signature=2, path="/a"))
    assert [h.page_id for h in need.holders] == ["p1"]
    assert found.changed_rereads == 0
    assert found.repeated_read(page(4, "something else entirely", signature=1, path="/a")) == ()
    assert found.changed_rereads == 1


def test_a_short_text_that_is_read_again_is_no_need() -> None:
    """Twelve characters are enough, eleven are not, and a short other text is no changed re-read."""
    found = context()
    found.write(page(1, "twelve chars\nmore", signature=1, path="/a"))
    assert len(found.repeated_read(page(2, "  twelve chars \n", signature=1, path="/a"))) == 1
    assert found.repeated_read(page(2, "twelve char", signature=1, path="/a")) == ()
    assert found.repeated_read(page(2, "elsewhere", signature=1, path="/a")) == ()
    assert found.repeated_read(page(2, "twelve chars", signature=9, path="/b")) == ()
    assert found.changed_rereads == 0


def test_a_rewritten_page_holds_its_newest_text_only() -> None:
    """A page that was rewritten in place is no holder of its older text."""
    found = context()
    found.write(page(1, LINE, signature=1))
    found.write(page(1, "all of it is new", signature=1))
    assert flow(found, "Edit", old_string=LINE) == []
    assert found.repeated_read(page(2, LINE, signature=1)) == ()


def test_gutters_and_reminders_are_removed() -> None:
    """Line numbers of reads and searches and system reminders are no part of a text."""
    assert cleaned("     1→a\n    12→\tb\n<system-reminder>\nx\n</system-reminder>\n") == "a\n\tb\n\n"
    assert cleaned("  9\ta\n 10\tb") == "a\nb"
    assert cleaned("9\ta\n7\tb") == "9\ta\n7\tb"
    assert cleaned("x.go:12:func f()\nx.go-13-\treturn\n14:end", search=True) == "func f()\n\treturn\nend"
    assert cleaned("<system-reminder> never closed") == "<system-reminder> never closed"


def test_json_leaves_of_hostile_texts() -> None:
    """Leaves are strings and integers of JSON texts; other texts, and deep ones, have none."""
    assert json_leaves('{"a": ["x", 5, {"b": null}], "c": 1.50}') == {"x", "5", "1.50"}
    assert json_leaves("[" * 100_000) == json_leaves("{broken") == json_leaves("prose") == frozenset()


@given(st.lists(st.text("ab\0\ud800\u00e9", min_size=1, max_size=9), max_size=30), st.text("ab\u00e9", min_size=5))
def test_what_the_model_wrote_is_found_as_in_a_plain_list(texts: list[str], asked: str) -> None:
    """With forty characters in memory, the rest in an index, the same texts are found as by a search of all."""
    wrote, plain = Written(most_chars=40), list[str]()
    for text in texts:
        wrote.add(text)
        plain += [text] if len(text) >= NEED_CHARS_MIN_LEAF else []
        assert wrote.chars <= 40 and wrote.holds(asked) is any(asked in each for each in plain)
    assert all(map(wrote.holds, plain)) and (wrote.far > 0) is (sum(map(len, plain)) > 40)


def test_names_of_standard_libraries_are_no_need() -> None:
    """A model knows `json.Unmarshal` by heart; a name of the project it takes from a page."""
    found = context()
    found.write(page(1, "json.Unmarshal(data) os.path.join(a) paths.ValidateSessionID(x) sync.WaitGroup"))
    command = "grep -rn -e json.Unmarshal -e os.path.join -e sync.WaitGroup -e paths.ValidateSessionID"
    assert list(pieces(command))[-1] == "paths.ValidateSessionID"
    assert flow(found, "Bash", command=command) == [["p1"]]
    assert flow(found, "Grep", pattern="json.Unmarshal") == []
    assert flow(found, "Edit", old_string="json.Unmarshal(data)") == [["p1"]]


def test_a_text_of_many_pages_identifies_none_whatever_is_left_of_them() -> None:
    """Pages that a compaction dropped count, too: the text was common before."""
    found = context()
    for number in range(1, 10):
        found.write(page(number, LINE))
    found.move(*found.moved(frozenset((9,))), compaction=True)
    assert flow(found, "Edit", old_string=LINE) == []


def test_a_read_of_a_part_repeats_the_read_of_the_whole() -> None:
    """A range whose text stands whole in an earlier page of its path is a need, without a compaction between."""
    found = context()
    whole = "\n".join(f"{number} {LINE}" for number in range(9))
    found.write(page(1, whole, path="/w/a.py", signature=1))
    part = page(2, f"3 {LINE}\n4 {LINE}", path="/w/a.py", signature=2)
    (need,) = found.repeated_read(part)
    assert [holder.page_id for holder in need.holders] == ["p1"] and need.rule is NeedRule.REPEATED_READ
    found.write(part)
    assert found.repeated_read(page(3, f"9 {LINE}\n10 {LINE}", path="/w/a.py", signature=3)) == ()
    assert found.changed_rereads == 0
    assert found.repeated_read(page(4, f"another {LINE}", path="/w/a.py", signature=2)) == ()
    assert found.changed_rereads == 1


def ids(needs) -> list[list[str]]:
    """The holders of needs."""
    return [[holder.page_id for holder in need.holders] for need in needs]


LONG = "a line that is long enough to be a need by itself, and says where it came from"


def test_what_the_model_wrote_is_searched_text_by_text() -> None:
    """A text is found in any of those written, never across two, and short ones are not kept."""
    wrote = Written()
    assert not wrote.holds("")
    for text in ("first text", "tiny", "second text", "x" * (1 << 18), "third text"):
        wrote.add(text)
        assert wrote.holds(text) is (text != "tiny")
    assert wrote.holds("first text") and not wrote.holds("first textsecond") and not wrote.holds("text\0tiny")
    wrote.add("fourth text")
    assert wrote.holds("fourth text") and wrote.holds("third text")


def test_pages_leave_and_return_with_a_boundary() -> None:
    """Permanent pages and those on kept lines stay or return; all others leave, and their leaves still count."""
    found = context()
    found.write(page(1, '["leaf_1"]', call=1))
    found.write(page(2, LONG, permanent=True))
    found.write(page(3, LONG, line=0))
    found.write(page(4, '["leaf_1", "leaf_4"]', call=4))
    assert found.leaves == {"leaf_1": 2, "leaf_4": 1}
    assert found.moved(frozenset((0, 4))) == (("p1", "p3"), ())
    found.move(("p1", "p3"), (), compaction=True)
    assert list(found.resident) == ["p2", "p4"] and found.compactions == 1 and found.leaves["leaf_1"] == 2
    assert found.moved(frozenset((1,))) == (("p4",), ("p1",))
    found.move(("p4",), ("p1",), compaction=False)
    assert list(found.resident) == ["p1", "p2"] and found.compactions == 1
    assert found.results([1, 4]) == ("p1",) and found.results([]) == ()
    found.show("p4")
    found.show("p4")
    found.show("p9")
    assert list(found.resident) == ["p1", "p2", "p4"] and found.leaves == {"leaf_1": 2, "leaf_4": 1}
    found.forget("p4")
    found.forget("p4")
    assert "p4" not in found.pages and "p4" not in found.resident and found.leaves == {"leaf_1": 1, "leaf_4": 0}


def test_a_rewritten_page_holds_its_new_text_only() -> None:
    """The newest writing of a page counts, at the end of the context, and its old leaves are gone."""
    found = context()
    found.write(page(1, '["leaf_1"]', call=1))
    found.write(page(2, LONG))
    found.write(page(1, LONG))
    assert list(found.resident) == list(found.pages) == ["p2", "p1"] and found.leaves == {"leaf_1": 0}
    assert [each.order for each in found.pages.values()] == [2, 3]
    assert flow(found, "WebSearch", query=LONG) == [["p2", "p1"]]


def test_holders_name_the_levels_that_hold_the_text() -> None:
    """Full always does, a pointer by its id, tool or path, any other level by its cleaned text."""
    found = context()
    levels = {
        Fidelity.FULL: "f",
        Fidelity.COMPRESSED: f"1\tx\n2\t{LONG}",
        Fidelity.STRUCTURED: "no",
        Fidelity.POINTER: "p",
    }
    found.write(page(1, LONG, levels=levels, path="/w/needed_path.py", tool="Read"))
    (need,) = found.data_flow(named(TABLES["claude_code"], "WebSearch"), ToolUse(1, "WebSearch", {"query": LONG}))
    assert need.holders[0].levels == (Fidelity.FULL, Fidelity.COMPRESSED) and need.tokens == len(LONG)
    found.write(page(2, "see /w/needed_path.py", levels=levels, path="/w/needed_path.py"))
    (need,) = found.data_flow(
        named(TABLES["openai_chat"], "strange"), ToolUse(1, "strange", {"who": "/w/needed_path.py"})
    )
    assert need.holders[0].levels == (Fidelity.FULL, Fidelity.POINTER)


def test_too_many_holders_say_nothing() -> None:
    """A text in as many pages as a need may have is a need; in one more, also outside the context, it is none."""
    found = context()
    for number in range(1, NEED_HOLDERS_MAX + 1):
        found.write(page(number, LONG))
    assert len(flow(found, "WebSearch", query=LONG)[0]) == NEED_HOLDERS_MAX
    found.move(["p1"], (), compaction=False)
    assert len(flow(found, "WebSearch", query=LONG)[0]) == NEED_HOLDERS_MAX
    found.write(page(99, LONG))
    assert flow(found, "WebSearch", query=LONG) == []


def test_a_repeated_read_needs_the_pages_that_show_it() -> None:
    """Same signature or same path, oldest first, current pages only; a changed result of the same call is counted."""
    found = context()
    found.write(page(1, f"x\n{LONG}\ny", signature=7))
    found.write(page(2, f"{LONG}\n", path="/w/a"))
    found.write(page(3, LONG, signature=8, path="/w/b"))
    assert ids(found.repeated_read(page(9, f" {LONG}\n", signature=7, path="/w/a"))) == [["p1", "p2"]]
    assert ids(found.repeated_read(page(9, LONG, path="/w/b"))) == [["p3"]]
    assert found.repeated_read(page(9, LONG)) == () == found.repeated_read(page(9, LONG, signature=1, path="/w/z"))
    assert found.changed_rereads == 0
    assert found.repeated_read(page(9, f"{LONG} changed", signature=7)) == () and found.changed_rereads == 1
    assert (
        found.repeated_read(page(9, f"{LONG} changed", signature=5, path="/w/a")) == () and found.changed_rereads == 1
    )
    found.move((), (), compaction=True)
    assert (
        found.repeated_read(page(9, f"{LONG} changed", signature=5, path="/w/a")) == () and found.changed_rereads == 2
    )
    assert found.repeated_read(page(9, LONG[7 : 7 + NEED_CHARS_MIN - 1], signature=7)) == ()
    assert ids(found.repeated_read(page(9, LONG[7 : 7 + NEED_CHARS_MIN], signature=7))) == [["p1"]]
    found.used([LONG], [])
    assert found.repeated_read(page(9, LONG, signature=7)) == () and found.changed_rereads == 2
    found.forget("p1")
    assert found.repeated_read(page(9, "something else altogether, long enough", signature=7)) == ()
    assert found.changed_rereads == 2


def test_a_text_that_was_read_too_often_is_looked_for_no_further(monkeypatch: pytest.MonkeyPatch) -> None:
    """A repeated read in one more page than a need may have is none, whatever follows; summaries do not count."""
    monkeypatch.setattr(limits, "NEED_TEXT_CHARS", 0)
    opened: list[str] = []

    def open_(body: str) -> str:
        opened.append(body)
        return body

    found = Context(len, open_)
    for number in range(1, NEED_HOLDERS_MAX + 1):
        found.write(page(number, f"{LONG} {number}", path="/w/a", summary=number == 1))
    assert len(found.repeated_read(page(99, LONG, path="/w/a"))[0].holders) == NEED_HOLDERS_MAX
    for number in range(NEED_HOLDERS_MAX + 1, 41):
        found.write(page(number, f"{LONG} {number}", path="/w/a"))
    opened.clear()
    assert found.repeated_read(page(99, LONG, path="/w/a")) == ()
    assert len(opened) == NEED_HOLDERS_MAX + 2


WORDS = ("alpha-", "beta_", "Beta_", "g\0m", "\ud800x", "d\u00e9lta", '"quoted" ', "\U0001f600 ", "12345")
TEXT = st.lists(st.sampled_from((*WORDS, "\n", "\r\n")), max_size=8).map("".join)


@given(st.lists(st.tuples(st.sampled_from(["write", "forget", "ask"]), st.integers(0, 5), TEXT), max_size=30))
def test_texts_far_and_near_are_found_as_a_plain_search_finds_them(steps: list[tuple[str, int, str]]) -> None:
    """LAW-SUBSTRING-1: whatever of the pages is in memory, those that hold a text are the same, oldest first."""
    found, plain = Texts(lambda body: body, most_chars=20), dict[int, Held]()
    for order, (what, number, text) in enumerate(steps, 1):
        if what == "ask":
            asked = text[1:40] or "alpha"
            if len(asked) >= NEED_CHARS_MIN_LEAF:
                wanted = [each.page_id for each in plain.values() if asked in each.bodies[0]]
                assert [each.page_id for each in found.holding(asked)] == wanted
                assert [each.page_id for each in found.among(plain.values(), asked)] == wanted
            continue
        if number in plain:
            found.forget(plain.pop(number))
        assert found.chars == sum(len(each.text) for each in found.near.values())
        if what == "write":
            plain[number] = page(number, text, order=order, cleaned=False)
            found.put(plain[number])
            assert found.of(plain[number]) == text and found.chars <= 20


def test_a_body_of_many_pages_is_read_once_for_each_question() -> None:
    """A file that was read again and again, unchanged, costs a question one reading."""
    opened: list[str] = []

    def open_(body: str) -> str:
        opened.append(body)
        return body

    found, pages = Texts(open_, most_chars=0), [page(number, LONG, order=number) for number in range(1, 6)]
    for each in pages:
        found.put(each)
    assert list(found.holding("the first question makes the index")) == []
    opened.clear()
    assert list(found.holding(LONG)) == pages and opened == [LONG]
    assert list(found.among(pages[1:3], LONG[1:])) == pages[1:3] and opened == [LONG] * 2
    assert list(found.among(pages[:4], "something else")) == [] and opened == [LONG] * 3


def test_an_old_text_that_is_asked_about_again_is_read_once_while_there_is_room() -> None:
    """What was read lately is in memory, at most half of what may be near, until its page is forgotten."""
    opened: list[str] = []

    def open_(body: str) -> str:
        opened.append(body)
        return body

    room = 4 * len(LONG)
    found, pages = Texts(open_, most_chars=room), [page(n, f"{LONG}{n}", order=n) for n in range(1, 9)]
    for each in pages:
        found.put(each)
    assert len(found.far) == 5
    assert list(found.among(pages[:1], LONG)) == pages[:1]
    opened.clear()
    assert list(found.among(pages[:1], LONG[1:])) == pages[:1] and opened == []
    assert list(found.holding(LONG)) == pages and found.again_chars <= room // 2
    assert found.again_chars == sum(map(len, found.again.values())) > 0
    found.forget(pages[4])
    assert pages[4].shown not in found.again and found.again_chars == sum(map(len, found.again.values()))


def test_of_many_old_readings_of_a_file_only_those_are_opened_that_may_hold_the_text() -> None:
    """A file that changes all the time is not read back in all its versions when it is read once more."""
    opened: list[str] = []

    def open_(body: str) -> str:
        opened.append(body)
        return body

    found = Texts(open_, most_chars=0)
    pages = [page(number, f"{LONG}, in version {number}.", order=number) for number in range(1, 21)]
    for each in pages:
        found.put(each)
    assert list(found.holding("the first question makes the index")) == []
    opened.clear()
    assert list(found.among(pages, "in version 7.")) == [pages[6]] and opened == [f"{LONG}, in version 7."]
    assert list(found.among(pages, LONG)) == pages and len(opened) == 21


def test_old_readings_that_lack_a_line_of_a_text_are_not_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    """Versions of a long file that differ in a few lines are told apart without their texts and the index."""
    opened: list[str] = []

    def open_(body: str) -> str:
        opened.append(body)
        return body

    def version(number: int) -> str:
        lines = [f"line {each} of a file that is long" for each in range(60)]
        return "\n".join([*lines[:30], *(f"line {each} of version {number}" for each in range(12)), *lines[30:]])

    found = Texts(open_, most_chars=0)
    monkeypatch.setattr(Series, "may_hold", lambda *_: list(range(1, 41)))
    pages = [page(number, version(number), order=number) for number in range(1, 41)]
    for each in pages:
        found.put(each)
    list(found.holding("the first question makes the index"))
    for held in (found.among(pages, version(7)[4:-4]), found.holding(version(7))):
        opened.clear()
        assert list(held) == [pages[6]] and len(opened) < 10


def test_a_text_that_is_looked_for_twice_is_asked_for_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The index answers again only for another text, or once it holds more."""
    asked: list[str] = []
    may_hold = Series.may_hold

    def counted(series: Series, text: str) -> list[int]:
        asked.append(text)
        return may_hold(series, text)

    monkeypatch.setattr(Series, "may_hold", counted)
    found, (first, second) = Texts(lambda body: body, most_chars=0), [page(n, LONG, order=n) for n in (1, 2)]
    found.put(first)
    assert list(found.holding(LONG)) == list(found.holding(LONG)) == [first] and asked == [LONG]
    assert list(found.holding(LONG[1:])) == [first] and asked == [LONG, LONG[1:]]
    found.put(second)
    assert list(found.holding(LONG[1:])) == [first, second] and len(asked) == 3


def test_texts_are_indexed_at_the_first_question(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no call takes a text from a page there is no index; a question finds what left memory before it."""
    made: list[Series] = []
    monkeypatch.setattr(needs, "substrings", lambda: made.append(Series()) or made[-1])
    pages = [page(number, LONG, order=number) for number in range(1, 4)]
    found = Texts(lambda body: body, most_chars=0)
    for each in pages:
        found.put(each)
    found.forget(pages[0])
    assert not made
    assert list(found.holding(LONG)) == pages[1:]
    found.put(later := page(4, LONG, order=4))
    assert list(found.holding(LONG)) == [*pages[1:], later] and len(made) == 1


def test_a_text_that_cannot_be_read_again_stays_in_memory() -> None:
    """A body that is not kept, or comes back otherwise, is searched in memory, at its place among the others."""
    found = Texts(lambda body: "" if "secret" in body else body, most_chars=0)
    for number, text in enumerate(("needed one", "needed secret", "needed three"), 1):
        found.put(page(number, text, order=number, cleaned=False))
    assert [each.page_id for each in found.holding("needed")] == ["p1", "p2", "p3"]
    assert [len(found.kept), len(found.far), found.chars] == [1, 2, 0]


def test_texts_that_the_model_wrote_are_joined_to_pieces_of_a_bounded_length() -> None:
    """Adding a text costs no more the more was written; a text that is longer by itself stands alone."""
    wrote, long = Written(most_chars=1 << 30), "y" * (2 * needs._PIECE_CHARS)
    for number in range(300):
        wrote.add(f"text {number} " + "x" * 200)
        if number == 150:
            wrote.add(long)
        assert wrote.holds(f"text {number} ")
    pieces_ = [piece for piece in wrote.near if piece != long]
    assert len(wrote.near) == len(pieces_) + 1
    assert all(len(piece) <= needs._PIECE_CHARS for piece in pieces_)
    assert len(pieces_) <= 2 + 300 * 220 // (needs._PIECE_CHARS - 220)
