"""One file to hand on: it opens without a server, asks for nothing, and shows every prompt exactly."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from clawvm_es import views
from clawvm_es.engine.journal import Journal
from clawvm_es.model.pages import LADDER, Author, PageType
from clawvm_es.web.export import STATIC, export, joined, page
from tests.browser.conftest import HOSTILE_ID, opened_tab

pytestmark = pytest.mark.sweep(of="browser", sample=14)

SPANS = "[...document.querySelectorAll('#prompt .span pre')].map((pre) => pre.textContent).join('')"


def packed(journal: Path, session: str, **how: bool) -> bytes:
    """A session's file."""
    with views.opened(str(journal)) as log:
        return export(log, session, str(journal), **how).html


def shown(browser: Any, base: str, html: bytes, folder: Path) -> Any:
    """A tab that has a file open from the disk, with its network off."""
    path = folder / "session.html"
    path.write_bytes(html)
    for tab in opened_tab(browser, base, offline=True):
        tab.base = path.as_uri()
        yield tab
        assert [url for url in tab.asked if not url.startswith(("file:", "data:"))] == []


def test_the_file_shows_every_prompt_without_a_request(
    browser: Any, base: str, journal: Path, tmp_path: Path
) -> None:
    """Keys, panes and prompts work from the disk; what only the engine can answer is said to be so."""
    for tab in shown(browser, base, packed(journal, "demo"), tmp_path):
        tab.go("#/s/demo/t/1")
        with views.opened(str(journal)) as log:
            for turn in (1, 9, 27):
                tab.press("g", *str(turn), "Enter")
                assert tab.run("location.hash").startswith(f"#/s/demo/t/{turn}")
                assert tab.run(SPANS) == views.prompt(log, "demo", turn=turn)["text"]
        tab.press("g", "g", "}", "}")
        assert "/p/" in tab.run("location.hash") and "was absent from the prompt" in tab.text("#inspector")
        assert "clawvm ui" in tab.press("s").text("#inspector")
        assert "paged in" in tab.press("l").text("#inspector")


def test_a_hostile_session_is_only_text_in_a_file_too(browser: Any, base: str, journal: Path, tmp_path: Path) -> None:
    """The policy of the file holds: nothing of the session runs."""
    for tab in shown(browser, base, packed(journal, HOSTILE_ID), tmp_path):
        tab.go("").press("j", "e", "p", "v")
        assert "owned" in tab.run(SPANS) and tab.run("document.title") not in ("owned", "1")
        assert tab.page.locator("#main :is(img, script, svg, iframe, link)").count() == 0


def test_the_same_session_gives_the_same_bytes(journal: Path) -> None:
    """Nothing of a run, a clock or a place is in the file."""
    assert packed(journal, "recorded") == packed(journal, "recorded")


def test_a_file_without_texts_has_no_word_of_the_session(
    browser: Any, base: str, journal: Path, tmp_path: Path
) -> None:
    """No line of any prompt, no title, path or argument is left in what is unpacked, and the pictures are there."""
    html = packed(journal, "demo", texts=False)
    said = "\n".join(values(unpacked(html)))
    with views.opened(str(journal)) as log:
        prompts = [views.prompt(log, "demo", turn=turn)["text"] for turn in (3, 9, 15, 21, 27)]
        titles = [page["title"] for page in views.pages(log, "demo")["pages"] if " " in (page["title"] or "")]
    words = set(re.findall(r"[A-Za-z_]{4,}", "\n".join(prompts)))
    assert len(words) > 100 and len(titles) > 10 and [title for title in titles if title in said] == []
    assert {word for word in words if re.search(rf"\b{word}\b", said)} <= OURS
    for tab in shown(browser, base, html, tmp_path):
        tab.go("#/s/demo/t/9")
        assert tab.run("document.body.app.timeline.runs.size") > 20 and tab.run(SPANS) == ""


OURS = {*LADDER, *PageType, *Author, "before", "again"} | set(
    "page pages clawvm would under tokens call have this turn prompt that next from directory after level".split()  # noqa: SIM905
)
"""Words of ours that a session may use too."""


def values(document: Any) -> Iterator[str]:
    """Every text of a document."""
    if isinstance(document, str):
        yield document
    elif isinstance(document, dict | list):
        for each in document.values() if isinstance(document, dict) else document:
            yield from values(each)


def unpacked(html: bytes) -> Any:
    """The data of a file."""
    import base64
    import gzip

    found = re.search(rb'id="data">([^<]+)<', html)
    assert found is not None
    return json.loads(gzip.decompress(base64.b64decode(found[1])))


def test_every_module_is_joined_after_what_it_imports() -> None:
    """The script holds each module of the package once, and nothing of it is imported any more."""
    script = joined()
    names = re.findall(r"^const (\$\w+) = \(\(\) => \{$", script, re.M)
    assert sorted(names) == sorted(
        f"${path.name.removesuffix('.js')}" for path in STATIC.iterdir() if path.name[-3:] == ".js"
    )
    for place, name in enumerate(names):
        body = script.partition(f"const {name} = (() => {{\n")[2].partition("\n})();\n")[0]
        used = set(re.findall(r"^const (?:\{.*\}|\w+) = (\$\w+);$", body, re.M))
        assert used <= set(names[:place])
    assert not re.search(r"^(import|export) ", script, re.M) and "</script" not in script
    ahead = re.findall(r'<link rel="modulepreload" href="/static/(\w+)\.js">', (STATIC / "index.html").read_text())
    assert sorted(f"${name}" for name in [*ahead, "main"]) == sorted(names)  # a server's page asks for all at once
    assert b"modulepreload" not in page(b"{}")


def test_the_program_exports_and_refuses_in_one_line(journal: Path, tmp_path: Path, capsys: Any) -> None:
    """`--as html` wants a file, `--no-texts` wants html, and a text that looks like a credential is warned of."""
    from clawvm_es.cli.main import main

    def run(*words: object) -> tuple[object, str, str]:
        with pytest.raises(SystemExit) as left:
            main(["export", *map(str, words)])
        out, err = capsys.readouterr()
        return left.value.code, out, err

    code, _, err = run(journal, "-s", "demo", "--as", "html")
    assert code == 2 and "-o session.html" in err
    code, _, err = run(journal, "-s", "demo", "--no-texts")
    assert code == 2 and "--as html" in err
    path = tmp_path / "secret.db"
    with Journal.open(path) as target, target.session("s", counter="lines4") as session:
        session.user_says("my key is ghp_" + "a1B2" * 9)
        session.assemble()
    code, out, err = run(path, "-s", "s", "--as", "html", "-o", tmp_path / "x.html", "--json")
    assert code == 0 and json.loads(out)["exact"] == 1 and "credential" in err
