"""Routes: the answer of each address, and the form of errors.

| address | answer |
|---|---|
| `/`, `/s/…` | the one page, which reads its own address |
| `/static/NAME` | a file of the package |
| `/api/sessions`, `/api/s/{session}/…` | a document (`answers`) |
| `/api/s/{session}/whatif`, `…/bisect` | a document, when it is done (`jobs`) |
| `/api/s/{session}/tail` | server-sent events (`tail`) |
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final

import attrs
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp

from clawvm_es.errors import ClawVMError, JournalBusy, JournalError, UsageError
from clawvm_es.views.damage import blamed
from clawvm_es.web import answers
from clawvm_es.web.answers import ASKS, OF_A_SESSION, Asked, NotFound, Question, head_of, reading
from clawvm_es.web.encode import encode
from clawvm_es.web.guard import LOOPBACK, Guard, refused
from clawvm_es.web.jobs import Jobs, Long
from clawvm_es.web.questions import QUESTIONS
from clawvm_es.web.tail import tail

STATIC: Final = Path(__file__).parent / "static"
PAGE: Final = STATIC / "index.html"
_MEDIA: Final = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".png": "image/png",
}


_LINE_CHARS: Final = 500
"""Characters of an error that are told: it may quote what was asked."""


@attrs.frozen
class App:
    """The answers to the requests about one journal."""

    journal: str
    jobs: Jobs
    stopping: Callable[[], bool]

    def routes(self) -> list[BaseRoute]:
        """All addresses."""
        found: list[BaseRoute] = [Route("/api/sessions", self._sessions)]
        for address, question in OF_A_SESSION.items():
            wrong = 400 if address in ASKS else 404
            found.append(Route(f"/api/s/{{session}}/{address}", partial(self._answer, question, wrong)))
        for name, job in QUESTIONS.items():
            found.append(Route(f"/api/s/{{session}}/{name}", partial(self._job, job)))
        found += [
            Route("/api/s/{session}/tail", self._tail),
            Route("/static/{name:path}", self._file),
            Route("/", self._page),
            Route("/s/{rest:path}", self._page),
        ]
        return found

    def _asked(self, request: Request) -> Asked:
        query = request.query_params
        every = {name: tuple(query.getlist(name)) for name in query}
        return Asked(self.journal, request.path_params, dict(query), every)

    async def _sessions(self, request: Request) -> Response:
        return await _told(self.journal, lambda: self._of_all(self._asked(request)), 400)

    def _of_all(self, asked: Asked) -> dict[str, Any]:
        with reading(self.journal) as log:
            return {"journal": self.journal} | answers.sessions(log, asked)

    async def _answer(self, question: Question, wrong: int, request: Request) -> Response:
        return await _told(self.journal, lambda: self._of_one(question, self._asked(request)), wrong)

    def _of_one(self, question: Question, asked: Asked) -> dict[str, Any]:
        """An answer, with the head of the session as of before it: a reader asks again rather than too seldom."""
        with reading(self.journal) as log:
            session_id = asked.session(log)
            opening = {"journal": self.journal, "head": head_of(log, session_id)}
            return opening | question(log, session_id, asked)

    async def _job(self, question: Long, request: Request) -> Response:
        asked = self._asked(request)
        return await _told(self.journal, lambda: self.jobs.ask(question, asked), 400)

    async def _tail(self, request: Request) -> Response:
        asked = self._asked(request)
        look = partial(self._of_one, answers.growth, asked)
        refused = await _told(self.journal, look, 404)
        if refused.status_code != 200:
            return refused
        if request.method == "HEAD":  # a stream has no end that its asker could wait for
            return Response(media_type="text/event-stream")
        return StreamingResponse(tail(self.journal, look, self.stopping), media_type="text/event-stream")

    async def _page(self, request: Request) -> Response:
        if not PAGE.exists():
            return _error(404, "the page is not in this package", "install clawvm-es again", "NotFound")
        return Response(PAGE.read_bytes(), media_type="text/html; charset=utf-8")

    async def _file(self, request: Request) -> Response:
        """One of the package's own files; the requested name is compared with theirs, never joined to a path."""
        files = {path.relative_to(STATIC).as_posix(): path for path in STATIC.rglob("*") if path.is_file()}
        found = files.get(request.path_params["name"])
        if found is None or found == PAGE:
            return await _unknown(request, HTTPException(404))
        return Response(found.read_bytes(), media_type=_MEDIA.get(found.suffix, "application/octet-stream"))


async def _told(journal: str, answer: Callable[[], Mapping[str, Any]], wrong: int) -> Response:
    """An answer worked out in a thread of its own, with the time that it took."""
    began = time.perf_counter()
    response = await asyncio.to_thread(_tried, journal, answer, wrong)
    response.headers["server-timing"] = f"app;dur={(time.perf_counter() - began) * 1000:.1f}"
    return response


def _tried(journal: str, answer: Callable[[], Mapping[str, Any]], wrong: int) -> Response:
    """The answer, or the reason for none; an unexpected error is blamed on the journal if it is damaged."""
    try:
        found = answer()
        return Response(encode(found), 202 if "progress" in found else 200, media_type="application/json")
    except (ClawVMError, OSError) as error:
        return failed(error, wrong)
    except Exception as error:
        return failed(blamed(error, [journal]) or error, wrong)


def failed(error: Exception, wrong: int) -> Response:
    """An error as an answer: the message and the hint; `wrong` is the status for invalid requests."""
    if isinstance(error, OSError) and not isinstance(error, ClawVMError):
        return _error(500, f"{error.filename or 'the journal'}: {error.strerror or error}", None, "OSError")
    if not isinstance(error, ClawVMError):
        said = f"internal error: {type(error).__name__}: {error}"
        return _error(500, said, "clawvm verify tells whether the journal is damaged", "InternalError")
    status = 500
    if isinstance(error, NotFound):
        status = 404
    elif isinstance(error, UsageError):
        status = wrong
    elif isinstance(error, JournalBusy):
        status = 409
    hint = error.hint or ("clawvm verify says more" if isinstance(error, JournalError) else None)
    return _error(status, error.message, hint, type(error).__name__)


def _error(status: int, error: str, hint: str | None, kind: str) -> Response:
    line = " ".join(error.split())
    body = {"error": line if len(line) <= _LINE_CHARS else f"{line[:_LINE_CHARS]}…", "hint": hint, "kind": kind}
    return Response(encode(body), status, media_type="application/json")


async def _broken(request: Request, error: Exception) -> Response:
    """A fault of ours outside of an answer."""
    return failed(error, 500)


async def _unknown(request: Request, error: Exception) -> Response:
    """No such address."""
    status = error.status_code if isinstance(error, HTTPException) else 500
    said, hint = f"there is nothing at {request.url.path}"[:_LINE_CHARS], "/ shows the sessions"
    if "text/html" in request.headers.get("accept", ""):
        return refused(status, said, hint, accept="text/html")
    return _error(status, said, hint, "NotFound")


def app(
    journal: str,
    token: str,
    port: int,
    hosts: tuple[str, ...] = LOOPBACK,
    *,
    stopping: Callable[[], bool] = lambda: False,
) -> ASGIApp:
    """The application for one journal, which answers requests with the `token`."""
    served = App(journal, Jobs(journal), stopping)
    handlers = {HTTPException: _unknown, Exception: _broken}
    return Guard(Starlette(routes=served.routes(), exception_handlers=handlers), token, port, hosts)
