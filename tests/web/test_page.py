"""Properties that the page has by construction: what its files may not hold, and what its labels say."""

from __future__ import annotations

import re
from importlib.resources import as_file, files

import pytest

from clawvm_es import views
from clawvm_es.engine.journal import Journal
from clawvm_es.importers.replay import ReplaySettings, replay
from clawvm_es.web.guard import CSP

STATIC = files("clawvm_es.web") / "static"
SCRIPTS = sorted(each.name for each in STATIC.iterdir() if each.name.endswith(".js"))
MARKUP = re.compile(
    r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|createContextualFragment|DOMParser|srcdoc|setHTML"
    r"|\beval\s*\(|new Function\b|javascript:|set(Timeout|Interval)\(\s*['\"`]|\bon\w+\s*=\s*['\"`]"
)
"""What makes markup, or a script, of a text."""


def read(name: str) -> str:
    """A file of the page, without its comments."""
    return re.sub(r"/\*.*?\*/|(?<![:'\"`])//[^\n]*", "", (STATIC / name).read_text(), flags=re.DOTALL)


@pytest.mark.parametrize("name", [*SCRIPTS, "index.html"])
def test_no_file_makes_markup_of_a_text(name):
    """Text reaches the page as text: none of the ways to make elements or scripts of it is used."""
    assert not MARKUP.search(read(name))


@pytest.mark.parametrize(
    "text",
    ["a.innerHTML = b", "x.insertAdjacentHTML('beforeend', y)", "setTimeout('x()', 1)", '<b onclick="x">'],
)
def test_each_way_to_make_markup_is_seen(text):
    """The test above would notice."""
    assert MARKUP.search(text)


def test_modules_import_each_other_and_nothing_else():
    """Every import names a file of the package by a relative path; no other script is loaded."""
    for name in SCRIPTS:
        named = re.findall(r"""(?:\bfrom\s+|\bimport\s*\(?\s*)(['"`])(.*?)\1""", read(name))
        assert {path for _, path in named} <= {f"./{each}" for each in SCRIPTS}, name
    page = (STATIC / "index.html").read_text()
    loaded = re.findall(r"""(?:src|href)="([^"]*)\"""", page)
    assert loaded and all(re.fullmatch(r"/|#\w+|/static/\w+\.(js|css)|data:,", each) for each in loaded)
    assert re.findall(r"<script[^>]*>([^<]*)", page) == [""] and "<style" not in page and " style=" not in page


def test_no_style_loads_anything():
    """A style names no address but data."""
    for name in ("style.css", "plain.css"):
        assert "@import" not in read(name) and not re.search(r"url\((?!['\"]?(data:|#))", read(name))


def test_the_policy_is_the_one_that_was_decided():
    """Each part of it: a looser one would pass every other test."""
    assert CSP.split("; ") == [
        "default-src 'none'", "script-src 'self'", "style-src 'self'", "connect-src 'self'", "img-src 'self' data:",
        "base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'", "require-trusted-types-for 'script'",
        "trusted-types 'none'",
    ]  # fmt: skip


def test_a_label_says_no_more_than_is_true(tmp_path):
    """A live prompt is what `assemble` returned; a replayed one what clawvm would have sent; a recorded neither."""
    with Journal.open(tmp_path / "j.db") as journal, as_file(files("clawvm_es.cli") / "demo_session.jsonl") as file:
        replay(journal, file, ReplaySettings(budget_tokens=1200, name="ours", counter="lines4"))
        replay(journal, file, ReplaySettings(as_recorded=True, name="recorded", counter="lines4"))
        with journal.session("live", budget_tokens=700, counter="lines4") as session:
            session.user_says("hello")
            session.assemble()
    with views.opened(str(tmp_path / "j.db")) as log:
        said = {name: views.turn(log, name, 1)["label"] for name in ("live", "ours", "recorded")}
    assert "returned" in said["live"] and "would have" not in said["live"]
    assert said["ours"].startswith("as clawvm would have sent it under 1,200 tokens")
    assert "returned" not in said["recorded"] and "would have" not in said["recorded"]


def test_words_of_commands_are_quoted():
    """Whatever an address names as a session, journal or page runs nothing else when its command is copied."""
    found = re.findall(r"`(clawvm [^`]*\$\{[^`]*)`", read("panes.js"))
    given = {each for text in found for each in re.findall(r"\$\{([^}]*)\}", text)}
    assert len(found) > 4
    assert {each for each in given if not each.startswith("quoted(")} <= {"file", "id", "place.turn"}
