"""One session in one HTML file: the page's own modules and all answers that it asks for, packed.

The file opens from a disk and requests nothing. Its policy (a `meta` element) allows its one script and its one style
sheet by their hashes, and nothing else. The same session gives the same bytes.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from graphlib import TopologicalSorter
from importlib.resources import files
from pathlib import PurePath
from typing import Any, Final

import attrs

from clawvm_es import views
from clawvm_es.history.levels import levels, turns_of
from clawvm_es.history.turn import turns
from clawvm_es.journal.ports import EventLog
from clawvm_es.representations.secrets import holds_secret
from clawvm_es.views import closer, timelines
from clawvm_es.views.titles import Titles
from clawvm_es.web.encode import encode
from clawvm_es.web.ids import key_of

STATIC: Final = files("clawvm_es.web") / "static"
MAIN: Final = "main.js"
_MISSES: Final = 200
"""Misses whose reasons are packed."""
_CANDIDATES: Final = 40
_EVENT: Final = ("version", "turn", "kind", "type", "page_id", "brief")
_TEXTLESS: Final = frozenset(
    "session_id key mode policy status type types levels triggers mark_kinds turn_fields bin_fields fault_names head"  # noqa: SIM905
    " hash boundary cut kind page_type page_id level reason before after rule order says by stop outcome author"
    " principal format label time counter started ended at came left raised lowered bounds parent".split()
)
"""Names whose texts say nothing of what a session was about; all others are left out with `texts=False`."""


@attrs.frozen
class Exported:
    """The file, and facts about it: turns, prompts (committed, exact), texts with a credential."""

    html: bytes
    turns: int
    committed: int
    exact: int
    secrets: int


def export(
    log: EventLog,
    session_id: str,
    journal: str,
    *,
    texts: bool = True,
    progress: Callable[[int, int], None] | None = None,
) -> Exported:
    """Pack a session. `journal` is the name shown on the page; without `texts` nothing from which a text could be
    read.

    `progress` is told the turns packed and the number of all. Raises `UsageError` if there is no such session.
    """
    packing, told = _Packing(), []
    for each in _turns(log, session_id):
        told.append(packing.turn(each))
        if progress is not None:
            progress(each["turn"], each["turns"])
    document = _document(log, session_id, PurePath(journal).name) | {
        "turns": told,
        "texts": list(packing.texts),
        "origins": packing.origins,
    }
    if not texts:
        document = _bare(document) | {"texts": [""] * len(packing.texts), "origins": [], "textless": True}
    matches = [turn["matches"] for turn in told if turn["matches"] is not None]
    secrets = sum(map(holds_secret, packing.texts))
    return Exported(page(encode(document)), len(told), len(matches), sum(matches), secrets)


# ------------------------------------------------------------------------------------------------- the data


@attrs.define
class _Packing:
    """Texts and origins of spans, each kept once."""

    texts: dict[str, int] = attrs.field(factory=dict)
    origins: list[Any] = attrs.field(factory=list)
    _known: dict[bytes, int] = attrs.field(factory=dict)

    def turn(self, told: dict[str, Any]) -> dict[str, Any]:
        """A turn's document with places of texts and origins instead of them."""
        spans = [
            span | {"text": self._text(span["text"]), "origin": self._origin(span["origin"])}
            for span in told["spans"]
        ]
        events = [{name: event[name] for name in _EVENT} for event in told["events"]]
        return told | {"spans": spans, "events": events, "events_total": len(events), "events_next": None}

    def _text(self, text: str) -> int:
        return self.texts.setdefault(text, len(self.texts))

    def _origin(self, origin: dict[str, Any] | None) -> int | None:
        if origin is None:
            return None
        place = self._known.setdefault(encode(origin), len(self.origins))
        if place == len(self.origins):
            self.origins.append(origin)
        return place


def _turns(log: EventLog, session_id: str) -> Iterator[dict[str, Any]]:
    titles, last = Titles(log), turns_of(log, session_id)
    for found in turns(log, session_id):
        yield closer.told(log, found, titles) | {"turns": last}


def _document(log: EventLog, session_id: str, journal: str) -> dict[str, Any]:
    """Everything but the turns: the session's row, timeline, overview and losses, and the reasons of its misses."""
    head = log.head(session_id)
    opening = {"journal": journal, "head": {"version": head.version, "hash": head.hash.hex()} if head else None}
    key, last = {"key": key_of(session_id)}, turns_of(log, session_id)
    timeline = timelines.told(log, session_id, levels(log, session_id, 1, None), last)
    row = next(row for row in views.sessions(log)["sessions"] if row["session_id"] == session_id)
    sessions = {"total": 1, "next": None, "erasure_pending": False, "anchored": None}
    return {
        **key,
        "sessions": opening | sessions | {"sessions": [row | key | {"mode": timelines.mode_of(row["policy"])}]},
        "map": opening | timeline | key,
        "bins": opening | timelines.overview(log, session_id, timelines.BINS_MAX) | key,
        "losses": opening | views.lost(log, session_id),
        "why": dict(_reasons(log, session_id, timeline)),
    }


def _reasons(log: EventLog, session_id: str, timeline: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """The reasons of each miss, by turn and page."""
    ids, gone = {page[0]: page[1] for page in timeline["pages"]}, timeline["gone"]
    misses = dict.fromkeys((gone[at + 1], ids[gone[at]]) for at in range(0, len(gone), 5))
    for turn, page_id in list(misses)[:_MISSES]:
        found = views.why(log, session_id, page_id, turn=turn)
        kept = found["candidates"][:_CANDIDATES]
        yield f"{turn} {page_id}", found | {"candidates": kept, "candidates_total": len(found["candidates"])}


def _bare(value: Any, name: str = "") -> Any:
    """A document without texts: of texts only those under a name that is known to hold none."""
    if isinstance(value, Mapping):
        return {each: _bare(inner, name if each.isdigit() else each) for each, inner in value.items()}
    if isinstance(value, list | tuple):
        if name == "pages":  # number, id, type, born, author, title, tokens
            return [[*page[:5], None, *page[6:]] if isinstance(page, list | tuple) else page for page in value]
        return [_bare(each, name) for each in value]
    return None if isinstance(value, str) and name not in _TEXTLESS else value


# -------------------------------------------------------------------------------------------------- the page

_IMPORT: Final = re.compile(
    r"^import (?:\* as (?P<whole>\w+)|(?P<names>\{[^}]*\})) from '\./(?P<module>\w+\.js)';\n", re.M
)
_PRELOAD: Final = re.compile(r'^<link rel="modulepreload" href="/static/\w+\.js">\n', re.M)
_EXPORT: Final = re.compile(r"^export (?=(?:async )?(?:const|function|class) ([\w$]+))", re.M)


def page(data: bytes) -> bytes:
    """The page with its script, its style sheet and some data (JSON) in it."""
    script, style = joined(), _read("style.css")
    packed = base64.b64encode(gzip.compress(data, 9, mtime=0)).decode()
    policy = (
        f"default-src 'none'; script-src '{_hash(script)}'; style-src '{_hash(style)}'; img-src data:; "
        "base-uri 'none'; form-action 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
    )
    html = _PRELOAD.sub("", _read("index.html"))
    for old, new in (
        (
            '<meta charset="utf-8">',
            f'<meta charset="utf-8">\n<meta http-equiv="Content-Security-Policy" content="{policy}">',
        ),
        ('<link rel="stylesheet" href="/static/style.css">', f"<style>{style}</style>"),
        ('<noscript><link rel="stylesheet" href="/static/plain.css"></noscript>\n', ""),
        ('<script type="module" src="/static/main.js"></script>\n', ""),
        (
            "</body>",
            f'<script type="application/gzip" id="data">{packed}</script>\n'
            f'<script type="module">{script}</script>\n</body>',
        ),
    ):
        if html.count(old) != 1:
            raise AssertionError(f"index.html does not have {old!r} once")
        html = html.replace(old, new)
    return html.encode()


def joined() -> str:
    """All modules as one script: each a function that gives what it exports, after those that it imports."""
    sources = {name: _read(name) for name in _needed(MAIN)}
    needs = {name: [each["module"] for each in _IMPORT.finditer(source)] for name, source in sources.items()}
    return "".join(_wrapped(name, sources[name]) for name in TopologicalSorter(needs).static_order())


def _needed(name: str) -> Iterable[str]:
    """A module and all that it imports, directly or not, in the order in which they are met."""
    found: dict[str, None] = {}
    waiting = [name]
    while waiting:
        each = waiting.pop()
        if each not in found:
            found[each] = None
            waiting += [other["module"] for other in _IMPORT.finditer(_read(each))]
    return found


def _wrapped(name: str, source: str) -> str:
    exports = ", ".join(_EXPORT.findall(source))
    body = _IMPORT.sub(
        lambda found: f"const {found['whole'] or _renamed(found['names'])} = {_variable(found['module'])};\n", source
    )
    return f"const {_variable(name)} = (() => {{\n{_EXPORT.sub('', body)}return {{{exports}}};\n}})();\n"


def _renamed(names: str) -> str:
    return names.replace(" as ", ": ")


def _variable(module: str) -> str:
    return f"${module.removesuffix('.js')}"


def _read(name: str) -> str:
    return (STATIC / name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"
