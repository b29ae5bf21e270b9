"""Pictures of the page: `python tools/screens.py OUT [RECORDING]`, every scene at two widths in two colour schemes.

RECORDING is a session file of a harness; without one the bundled session is shown. Needs Debian's Chromium and the
extra `test`. Exit code 1 says that a picture is empty or that the browser's console was not silent.
"""

from __future__ import annotations

import argparse
import io
import os
import shutil
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, redirect_stdout, suppress
from dataclasses import dataclass, field
from importlib.resources import as_file, files
from itertools import product
from pathlib import Path
from typing import Any

from clawvm_es import views
from clawvm_es.cli.main import main as program
from clawvm_es.engine.journal import Journal
from clawvm_es.importers.replay import ReplaySettings, replay

SIZES = {1400: 900, 400: 860}
SCHEMES = ("dark", "light")
FLAGS = "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking --disable-sync"
TOKEN = "screens"
SMALLEST = 8_000
"""Bytes of a picture with something in it."""


@dataclass
class Shot:
    """One scene: its name, where it is, and what is done there before the picture is taken."""

    name: str
    address: str
    keys: Sequence[str] = ()
    before: Callable[[Any], None] = lambda page: None
    server: str = "main"
    silent: bool = True
    forced: bool = False


@dataclass
class Stage:
    """The journals that are shown, each with a server."""

    folder: Path
    addresses: dict[str, str] = field(default_factory=dict)

    def serve(self, name: str, path: Path) -> None:
        """Serve a journal under a name."""
        from clawvm_es.web.serve import listen, serve

        place, ready = listen(port=0), threading.Event()
        threading.Thread(target=serve, args=(str(path), place, TOKEN, ready.set), daemon=True).start()
        ready.wait()
        self.addresses[name] = f"http://127.0.0.1:{place.port}"


def record(path: Path, recording: Path) -> None:
    """A session under clawvm and as recorded, and one of the first with an erased text."""
    tokens = min(16_000, max(900, recording.stat().st_size // 60))
    with Journal.open(path, seed=1) as journal:
        replay(journal, recording, ReplaySettings(budget_tokens=tokens, name="session"))
        replay(journal, recording, ReplaySettings(as_recorded=True, name="recorded"))
        replay(journal, recording, ReplaySettings(budget_tokens=tokens, name="erased"))
        journal.catch_up()


def erase(path: Path) -> None:
    """Erase the page of the session `erased` that stood in its last prompt first."""
    with views.opened(str(path)) as log:
        spans = views.provenance(log, "erased")["spans"]
    page = next(span["page_id"] for span in spans if span["page_id"])
    with redirect_stdout(io.StringIO()), suppress(SystemExit):
        program(["redact", str(path), "-s", "erased", "--page", page, "--yes"])


def large(path: Path, turns: int) -> None:
    """A session of so many turns whose pages come, are used and go."""
    with (
        Journal.open(path, seed=2) as journal,
        journal.session("large", budget_tokens=6000, counter="lines4") as session,
    ):
        session.write_page("constraint", "- You must keep the tests green.\n- Never push to main.")
        for turn in range(turns):
            session.user_says(f"step {turn}: look at module {turn * 7 % 40}")
            body = "\n".join(f"line {n} of module {turn}" for n in range(10 + turn * 13 % 90))
            session.write_page("evidence", body, author="tool")
            session.assemble()
            session.observe_model(f"module {turn} is as it should be")
            if turn % 180 == 179:
                session.compact()


def first_miss(path: Path, session: str) -> tuple[int, str]:
    """Turn and page of the miss of a session that looks furthest back."""
    found = _timeline(path, session)
    ids, gone = {page[0]: page[1] for page in found["pages"]}, found["gone"]
    misses = [gone[at : at + 3] for at in range(0, len(gone), 5)]
    number, turn, _ = max(misses, key=lambda miss: miss[1] - miss[2] if miss[2] else 0)
    return turn, ids[number]


def _timeline(path: Path, session: str) -> dict[str, Any]:
    from clawvm_es.views.timelines import timeline

    with views.opened(str(path)) as log:
        return timeline(log, session)


def scenes(path: Path, live: Any) -> Iterator[Shot]:
    """Every scene, of the journal at `path`; `live` is a session that is being written."""
    turn, page = first_miss(path, "session")
    dropped, lost = first_miss(path, "recorded")
    budget = _timeline(path, "session")["budget_tokens"]
    shapes = ".session canvas:not([data-drawn])"
    yield Shot("list", "/", before=lambda page: page.locator(shapes).first.wait_for(state="detached"))
    yield Shot("session", f"/s/session/t/{turn}")
    yield Shot("miss", f"/s/session/t/{turn}/p/{page}")
    yield Shot("recorded-and-clawvm", f"/s/recorded/t/{dropped}?what=policy:clawvm,budget:{budget}")
    yield Shot("what-if", f"/s/session/t/{turn}?what=budget:{budget // 2}&pane=whatif")
    yield Shot("bisect", f"/s/session/t/{turn}/p/{page}?bisect=absent({page})")
    yield Shot("compaction", f"/s/recorded/t/{dropped}/p/{lost}?pane=losses")
    yield Shot("changes", f"/s/session/t/{turn}?pane=changes")
    yield Shot("erased", "/s/erased", ("j",))
    yield Shot("large", "/s/large/t/700", server="large")

    def grow(tab: Any) -> None:
        live.user_says("and now?")
        live.assemble()
        tab.locator("#pill:not([hidden])").wait_for()

    yield Shot("live", "/s/live/t/1", before=grow, server="live")
    yield Shot("error", "/s/nobody/t/3", silent=False)
    yield Shot("keys", f"/s/session/t/{turn}", ("?",))
    yield Shot("forced-colours", f"/s/session/t/{turn}/p/{page}", forced=True)


@contextmanager
def staged(recording: Path, turns: int) -> Iterator[tuple[Stage, Path, Any]]:
    """All journals and their servers, and the session that is being written."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="clawvm-screens-")))
        stage, path = Stage(folder), folder / "sessions.db"
        record(path, recording)
        erase(path)
        large(folder / "large.db", turns)
        journal = stack.enter_context(Journal.open(folder / "live.db"))
        live = stack.enter_context(journal.session("live", budget_tokens=900, counter="lines4"))
        for name, place in (("main", path), ("large", folder / "large.db"), ("live", folder / "live.db")):
            stage.serve(name, place)
        for turn in range(6):
            live.user_says(f"what of part {turn}?")
            live.write_page("evidence", "\n".join(f"part {turn}, line {n}" for n in range(40)), author="tool")
            live.assemble()
            live.observe_model(f"part {turn} is done")
        yield stage, path, live


def photograph(browser: Any, stage: Stage, shot: Shot, size: int, scheme: str, out: Path) -> list[str]:
    """One picture; what is wrong with it."""
    from clawvm_es.web.guard import cookie_name

    base, said = stage.addresses[shot.server], []
    looks = {"color_scheme": scheme, "forced_colors": "active" if shot.forced else "none"}
    context = browser.new_context(viewport={"width": size, "height": SIZES[size]}, **looks)
    name = cookie_name(int(base.rpartition(":")[2]))
    context.add_cookies([{"name": name, "value": TOKEN, "url": base}])
    page = context.new_page()
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.goto(base + shot.address)
    page.locator("body[data-rest=yes]").wait_for()
    shot.before(page)
    for key in shot.keys:
        page.keyboard.press(key)
        page.locator("body[data-rest=yes]").wait_for()
    page.locator("#inspector[aria-busy=true]").wait_for(state="detached")
    page.evaluate("new Promise((drawn) => requestAnimationFrame(() => requestAnimationFrame(drawn)))")
    path = out / f"{shot.name}-{size}-{scheme}.png"
    page.screenshot(path=path)
    wide = page.evaluate("document.documentElement.scrollWidth")
    context.close()
    wrong = [f"the console says: {line}" for line in said if shot.silent]
    wrong += [f"{wide} pixels wide"] if wide > size else []
    wrong += ["empty"] if path.stat().st_size < SMALLEST else []
    return [f"{path.name}: {each}" for each in wrong]


def take(out: Path, recording: Path | None, *, only: Sequence[str] = (), turns: int = 1200) -> list[str]:
    """All pictures into a folder (of `only` some scenes, one each, sizes and schemes in turn); what is wrong."""
    from playwright.sync_api import sync_playwright

    chromium = os.environ.get("CLAWVM_CHROMIUM") or shutil.which("chromium")
    out.mkdir(parents=True, exist_ok=True)
    bundled = as_file(files("clawvm_es.cli") / "demo_session.jsonl")
    with ExitStack() as stack:
        chosen = recording or stack.enter_context(bundled)
        stage, path, live = stack.enter_context(staged(chosen, turns))
        driver = stack.enter_context(sync_playwright())
        browser = driver.chromium.launch(executable_path=chromium, args=FLAGS.split())
        looks, wrong = list(product(SIZES, SCHEMES)), []
        shots = [shot for shot in scenes(path, live) if not only or shot.name in only]
        for place, shot in enumerate(shots):
            for size, scheme in [looks[place % len(looks)]] if only else looks:
                wrong += photograph(browser, stage, shot, size, scheme, out)
        browser.close()
    return wrong


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("recording", type=Path, nargs="?")
    parser.add_argument("--only", nargs="+", default=(), metavar="SCENE", help="these scenes only, one look each")
    asked = parser.parse_args()
    wrong = take(asked.out, asked.recording, only=asked.only)
    print("\n".join(wrong or [f"{len(list(asked.out.glob('*.png')))} pictures in {asked.out}"]))
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
