"""Sentences of the page are true: no miss by construction, levels in words, commands that run nothing else."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any
from urllib.parse import quote

from clawvm_es.engine.journal import Journal
from tests.browser.conftest import Tab, opened_tab, serving


def test_commands_are_copied_and_run_nothing_else(tab: Tab) -> None:
    """Fork, export, verify and redact are commands with a button; an id of an address is one word of the shell."""
    tab.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    odd = "$(touch x); 'p1' `id`"
    for page in ("p3", odd):
        tab.go(f"/s/demo/t/14/p/{quote(page, safe='')}?pane=proof").press("v")
        shown = tab.run("[...document.querySelectorAll('#inspector .command code')].map((each) => each.textContent)")
        verbs = [shlex.split(each)[1] for each in shown]
        assert {"verify", "fork", "export", "redact"} <= set(verbs)
        copied = []
        for number in range(len(shown)):
            tab.page.locator("#inspector .command button").nth(number).click()
            tab.page.locator("#said", has_text="copied").wait_for()
            copied.append(tab.run("navigator.clipboard.readText()"))
        assert copied == shown
        assert shlex.split(shown[verbs.index("redact")])[-2:] == ["--page", page]
        assert all(shlex.split(each, comments=False)[0] == "clawvm" for each in shown)
    tab.said.clear()  # the browser tells of a page that there is none of by itself


def test_no_miss_is_by_construction_only_where_no_page_left(browser: Any, tmp_path: Path) -> None:
    """With room for all it is; where pages left and none was needed again, the sentence is another."""
    path = tmp_path / "j.db"
    with Journal.open(path) as journal:
        for name, budget in (("roomy", 100_000), ("tight", 300)):
            with journal.session(name, counter="lines4", budget_tokens=budget) as session:
                for number in range(30):
                    session.user_says(f"message {number}\n" * 8)
                    session.assemble()
                    session.observe_model("yes")
    for tab in opened_tab(browser, serving(path)):
        said = {name: tab.go(f"/s/{name}/t/9").text("#inspector") for name in ("roomy", "tight")}
    assert "No miss, by construction" in said["roomy"]
    assert "No miss" in said["tight"] and "by construction" not in said["tight"]


def test_levels_are_said_in_words(tab: Tab) -> None:
    """Each span of a prompt that is a page names its level: colour alone says nothing."""
    tab.go("/s/demo/t/14")
    levels = tab.run("document.body.app.answer.spans.filter((span) => span.page_id).map((span) => span.level)")
    said = tab.run("[...document.querySelectorAll('#prompt .span')].map((span) => span.innerText)")
    named = [text for text in said if any(level in text for level in ("full", "compressed", "structured", "pointer"))]
    assert levels and len(named) >= len(levels)
    assert all(any(level in text for text in named) for level in set(levels))


def test_a_page_tells_who_wrote_each_of_its_versions(browser: Any, tmp_path: Path) -> None:
    """As what it changed, with turn and author; of a text that is shown in part, its pane and its event say so."""
    path, long = tmp_path / "j.db", "".join(f"{n} of a long line\n" for n in range(12_000))
    with Journal.open(path) as journal, journal.session("s", counter="lines4", budget_tokens=10**6) as session:
        plan = session.write_page("plan", "- first\n- second")
        session.assemble()
        session.write_page("plan", "- first\n- third", page_id=plan, author="model")
        log = session.write_page("evidence", long, author="tool")
        session.assemble()
        session.observe_model(long)
    for tab in opened_tab(browser, serving(path)):
        said = tab.go(f"/s/s/t/2/p/{plan}?pane=page").text("#inspector")
        assert "Who wrote it, 2 versions" in said and "before turn 1 · harness" in said and "turn 1 · model" in said
        assert "\n-- second\n+- third" in said and "--- " not in said
        said = tab.go(f"/s/s/t/2/p/{log}?pane=page").text("#inspector")
        assert f"of {len(long):,} characters: clawvm show tells all" in said and "Who wrote it" not in said
        assert f"of {len(long):,} characters: clawvm show tells all" in tab.go("/s/s/t/2").text("#inspector")
        spans = tab.run("document.body.app.answer.spans")
        version = next(each["origin"]["written"]["version"] for each in spans if each["page_id"] == log)
        assert "cut: clawvm show tells all" in tab.go(f"/s/s/t/2/e/{version}").text("#inspector")


def test_a_question_that_is_refused_can_be_asked_again(tab: Tab) -> None:
    """A refused what-if or bisect shows the reason beside its fields, which keep what was entered."""
    for address, field, asked in [
        ("/s/demo/t/9?what=budget:9999999999&pane=whatif", "budget", "9999999999"),
        ("/s/demo/t/9?bisect=nonsense((", "q", "nonsense(("),
    ]:
        tab.go(address)
        assert tab.page.input_value(f"#inspector form [name={field}]") == asked
        assert "must be at most" in tab.text("#inspector .says") or "never closed" in tab.text("#inspector .says")
    tab.said.clear()  # the browser's own lines
    tab.go("/s/demo/t/9?q=" + "x" * 900)
    assert tab.run("[document.querySelector('#inspector')].every((box) => box.scrollWidth <= box.clientWidth)")


def test_a_page_that_fails_says_what_failed(browser: Any, base: str) -> None:
    """A place that is not there is told from an answer that did not come; the tab's title is not the session's."""
    for tab in opened_tab(browser, base):
        tab.go("/s/demo/t/9").page.route("**/api/sessions*", lambda route: route.abort())
        tab.press("u")
        assert tab.text("#list h1") == "This cannot be shown" and "does not answer" in tab.text("#list")
        assert tab.page.title() == "clawvm"
        tab.page.unroute_all()
        assert tab.go("/s/nobody").text("#list h1") == "That is not here"
        tab.said.clear()  # the browser's own lines


def test_a_search_that_reads_many_texts_says_what_makes_it_quick(tab: Tab) -> None:
    """A search without an index names the command that makes one, since the page never writes."""

    def much(route: Any) -> None:
        answer = route.fetch()
        route.fulfill(response=answer, json=answer.json() | {"scanned": 59_773})

    assert "--index" not in tab.go("/s/demo/t/9?q=ledger").text("#inspector")
    tab.page.route("**/grep?*", much)
    said = tab.go("/s/demo/t/9?q=two words").text("#inspector")
    tab.page.unroute_all()
    assert "59,773 texts are in no index yet" in said and "'two words' --index" in said
