"""The page in Chromium: one browser and one journal for all tests, a new tab for each."""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

import pytest

from clawvm_es.engine.journal import Journal
from clawvm_es.importers.replay import ReplaySettings, replay

CHROMIUM = os.environ.get("CLAWVM_CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
FLAGS = (
    "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --force-color-profile=srgb --hide-scrollbars"
)
TOKEN = "a-token-that-nobody-guesses"
HOSTILE_ID = '<img src=x onerror="document.title=1">"\'/../%00'
HOSTILE = (
    "<script>document.title='owned'</script><img src=x onerror=\"document.title='owned'\">"
    "<svg onload=\"document.title='owned'\"><iframe srcdoc=\"<script>parent.document.title='owned'</script>\"></iframe>"  # noqa: E501
    "<link rel=stylesheet href=http://evil.example/x.css><a href=javascript:alert(1)>x</a>"
    " \u202egnp.exe \x00 \ud800 end"
)


def chromium() -> str:
    """The browser's program; without it, a test is skipped for a reason that `CLAWVM_REQUIRE` can name."""
    pytest.importorskip("playwright.sync_api", reason="no playwright for chromium")
    pytest.importorskip("starlette", reason="the extra ui is not installed")
    if CHROMIUM is None:
        pytest.skip("no chromium on this machine (set CLAWVM_CHROMIUM)")
    return CHROMIUM


def serving(path: Path) -> str:
    """Serve a journal until the tests end; where."""
    from clawvm_es.web.serve import listen, serve

    place, ready = listen(port=0), threading.Event()
    threading.Thread(target=serve, args=(str(path), place, TOKEN, ready.set), daemon=True).start()
    assert ready.wait(60)
    return f"http://127.0.0.1:{place.port}"


def hostile(journal: Journal) -> None:
    """A session that is markup in its id, its texts, a path and a field."""
    with journal.session(HOSTILE_ID, counter="lines4") as session:
        session.user_says(HOSTILE)
        session.write_page("evidence", HOSTILE, author="tool")
        session.write_page("constraint", "<b>You must never</b> run this.")
        session.assemble()
        session.observe_model(HOSTILE)
        session.assemble()


@pytest.fixture(scope="session")
def journal(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundled session under clawvm and as recorded, and a hostile one."""
    path = tmp_path_factory.mktemp("browser") / "j.db"
    with Journal.open(path, seed=1) as target, as_file(files("clawvm_es.cli") / "demo_session.jsonl") as file:
        replay(target, file, ReplaySettings(budget_tokens=1200, name="demo", counter="lines4"))
        replay(target, file, ReplaySettings(as_recorded=True, name="recorded", counter="lines4"))
        hostile(target)
        target.catch_up()
    return path


@pytest.fixture(scope="session")
def base(journal: Path) -> str:
    """Address of a server of that journal."""
    chromium()
    return serving(journal)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Debian's Chromium, without a screen. It ends with a module: its driver holds the thread's event loop."""
    program = chromium()
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        opened = driver.chromium.launch(executable_path=program, args=FLAGS.split())
        yield opened
        opened.close()


@dataclass
class Tab:
    """A tab, with what its console said and what it asked for."""

    page: Any
    base: str
    said: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)

    def go(self, address: str) -> Tab:
        """Open an address and wait until the page is at rest."""
        self.page.goto(self.base + address)
        return self.rest()

    def rest(self) -> Tab:
        """Wait until everything that was asked for is shown."""
        self.page.wait_for_selector("body[data-rest=yes]")
        return self

    def press(self, *keys: str) -> Tab:
        """Press keys, one after the other, and wait."""
        for key in keys:
            self.page.keyboard.press(key)
        return self.rest()

    @property
    def place(self) -> str:
        """The address without the server."""
        return str(self.page.evaluate("location.pathname + location.search"))

    def text(self, selector: str) -> str:
        """What stands in an element."""
        return str(self.page.inner_text(selector))

    def run(self, script: str, *given: Any) -> Any:
        """Run a script in the page: the app is `document.body.app`."""
        return self.page.evaluate(script, *given)


def opened_tab(browser: Any, base: str, **how: Any) -> Iterator[Tab]:
    """A tab of a context of its own that has the token; afterwards, its console must have been silent."""
    context = browser.new_context(**({"viewport": {"width": 1400, "height": 900}, "color_scheme": "dark"} | how))
    from clawvm_es.web.guard import cookie_name

    name = cookie_name(int(base.rpartition(":")[2]))
    context.add_cookies([{"name": name, "value": TOKEN, "url": base}])
    page = context.new_page()
    tab = Tab(page, base)
    page.on("console", lambda message: tab.said.append(message.text))
    page.on("pageerror", lambda error: tab.said.append(str(error)))
    page.on("request", lambda request: tab.asked.append(request.url))
    yield tab
    context.close()
    assert tab.said == []


@pytest.fixture(scope="module")
def kept(browser: Any, base: str) -> Iterator[Tab]:
    """The tab of a module's tests, 1400 by 900 pixels, dark."""
    yield from opened_tab(browser, base)


@pytest.fixture
def tab(kept: Tab) -> Iterator[Tab]:
    """That tab with nothing open; afterwards, its console must have been silent."""
    kept.page.goto("about:blank")
    kept.said.clear()
    kept.asked.clear()
    yield kept
    assert kept.said == []
