"""What the page costs a browser: `python tools/paint.py JOURNAL ADDRESS…`, in milliseconds of CPU of its main thread.

Each address (`/s/SESSION/t/N`) is opened in Debian's Chromium, 1400 by 900 pixels, and each act done 20 times.
Chromium counts the thread's own time, so that other work on the machine counts little; `nothing` is two frames in
which nothing changes. Needs the extra `test`.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
from pathlib import Path
from statistics import median
from typing import Any, Final

from screens import FLAGS, TOKEN, Stage

from clawvm_es.web.guard import cookie_name

ACTS: Final = {
    "nothing": "",
    "window draw": "app.drawn = ''; app.pictures();",
    "hover": "app.hovered = 1 + (app.hovered ?? 0); app.mark();",
    "turn, prompt and pane": "await app.go({turn: app.place.turn > 1 ? app.place.turn - 1 : app.timeline.turns});",
    "zoom": "await app.zoom(app.place.from ? 9 : 0.5);",
}
FRAMES: Final = "await new Promise((drawn) => requestAnimationFrame(() => requestAnimationFrame(drawn)));"


def spent(cdp: Any) -> float:
    """CPU of the main thread so far, in milliseconds."""
    found = cdp.send("Performance.getMetrics")["metrics"]
    return float(next(each["value"] for each in found if each["name"] == "TaskDuration")) * 1000


def measured(page: Any, cdp: Any, act: str, times: int) -> list[float]:
    """CPU of one act with the frames that show it, so many times."""
    costs = []
    for _ in range(times):
        before = spent(cdp)
        page.evaluate(f"async () => {{ const {{app}} = document.body; {act} {FRAMES} }}")
        page.wait_for_selector("body[data-rest=yes]")
        costs.append(spent(cdp) - before)
    return costs


def first_paint(page: Any, cdp: Any, address: str, times: int) -> list[float]:
    """CPU from an empty tab until everything that an address names is shown, so many times."""
    costs = []
    for _ in range(times):
        page.goto("about:blank")
        cdp.send("Performance.disable")
        cdp.send("Performance.enable", {"timeDomain": "threadTicks"})
        before = spent(cdp)
        page.goto(address)
        page.wait_for_selector("body[data-rest=yes]")
        costs.append(spent(cdp) - before)
    return costs


def told(name: str, costs: list[float]) -> str:
    """One line of figures."""
    return f"  {name:24} least {min(costs):6.1f}   median {median(costs):6.1f}   most {max(costs):6.1f}"


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, prog="paint.py"
    )
    parser.add_argument("journal", type=Path)
    parser.add_argument("address", nargs="+")
    parser.add_argument("--times", type=int, default=20, metavar="N", help="how often each act is done (default: 20)")
    asked = parser.parse_args()
    from playwright.sync_api import sync_playwright

    stage = Stage(Path(tempfile.gettempdir()))
    stage.serve("main", asked.journal)
    base = stage.addresses["main"]
    with sync_playwright() as driver:
        chromium = os.environ.get("CLAWVM_CHROMIUM") or shutil.which("chromium")
        browser = driver.chromium.launch(executable_path=chromium, args=FLAGS.split())
        context = browser.new_context(viewport={"width": 1400, "height": 900}, color_scheme="dark")
        context.add_cookies([{"name": cookie_name(int(base.rpartition(":")[2])), "value": TOKEN, "url": base}])
        page = context.new_page()
        cdp = context.new_cdp_session(page)
        for address in asked.address:
            print(address)
            print(told("opened", first_paint(page, cdp, base + address, min(5, asked.times))))
            for name, act in ACTS.items():
                print(told(name, measured(page, cdp, act, asked.times)), flush=True)
        browser.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
