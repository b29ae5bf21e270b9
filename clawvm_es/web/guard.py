"""The guard before every answer: permission, and the headers of each answer and refusal.

| request | answer | against |
|---|---|---|
| a Host that is not ours, or another port | 421 | DNS rebinding: a site whose name resolves to this machine |
| another method than GET or HEAD | 405 | writes, of which there are none |
| a fetch from another site | 403 | sites that read or probe us through the user's browser |
| `?token=` of ours | 303 to the same place, with the cookie | a token that stays in addresses and histories |
| no token of ours | 401 | other users of the machine |

The first row that matches is the answer.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterable
from http.cookies import CookieError, SimpleCookie
from typing import Final
from urllib.parse import parse_qsl, quote, urlencode

import attrs
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from clawvm_es.web.encode import encode

CSP: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'"
)
"""The page runs its own script and nothing else, and asks nobody but us."""
HEADERS: Final = {
    "content-security-policy": CSP,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
}
LOOPBACK: Final = ("127.0.0.1", "localhost", "[::1]")
TOKEN: Final = "token"
_FETCHED_BY: Final = ("", "none", "same-origin")
_METHODS: Final = ("GET", "HEAD")
_OPEN: Final = "open the address that clawvm ui printed"


def cookie_name(port: int) -> str:
    """The cookie of a server; two on one machine have two, since cookies know no ports."""
    return f"clawvm_{port}"


@attrs.frozen
class Guard:
    """Answers for `app`, if a request may ask: `hosts` are the names under which it is reached on `port`."""

    app: ASGIApp
    token: str
    port: int
    hosts: tuple[str, ...] = LOOPBACK

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or refuse it."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        refusal = self._refusal(scope)
        await (refusal or self.app)(scope, receive, _with_headers(send))

    def _refusal(self, scope: Scope) -> Response | None:
        """The first row of the table that matches; None lets the request pass."""
        headers = {name: value.decode("latin-1") for name, value in scope["headers"]}
        accept = headers.get(b"accept", "")
        if not self._ours(headers.get(b"host", "")):
            return refused(421, "this address is not served here", _OPEN, accept=accept)
        if scope["method"] not in _METHODS:
            return refused(405, "nothing can be changed here", "GET", {"allow": ", ".join(_METHODS)})
        if headers.get(b"sec-fetch-site", "") not in _FETCHED_BY:
            return refused(403, "another site asked", _OPEN, accept=accept)
        asked = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)
        if any(name == TOKEN and self._is_token(value) for name, value in asked):
            return self._entered(scope, [(name, value) for name, value in asked if name != TOKEN])
        if not any(map(self._is_token, self._given(headers))):
            given = any(name == TOKEN for name, _ in asked)
            error = "the token is wrong, or of a run that has ended" if given else "the token is missing"
            return refused(401, error, _OPEN, accept=accept)
        return None

    def _ours(self, host: str) -> bool:
        name, colon, port = host.rpartition(":")
        if not colon or (host.endswith("]") and host.startswith("[")):  # browsers leave port 80 out
            name, port = host, "80"
        return name.lower() in self.hosts and port == str(self.port)

    def _is_token(self, given: str) -> bool:
        return hmac.compare_digest(given.encode("utf-8", "surrogateescape"), self.token.encode())

    def _given(self, headers: dict[bytes, str]) -> Iterable[str]:
        scheme, _, bearer = headers.get(b"authorization", "").partition(" ")
        if scheme.lower() == "bearer":
            yield bearer
        try:
            cookie = SimpleCookie(headers.get(b"cookie", "")).get(cookie_name(self.port))
        except CookieError:
            return
        if cookie is not None:
            yield cookie.value

    def _entered(self, scope: Scope, rest: list[tuple[str, str]]) -> Response:
        """To the same place without the token; a path of two slashes would name another host."""
        path = "/" + quote(scope["path"].lstrip("/\\"), safe="/~")
        answer = RedirectResponse(f"{path}?{urlencode(rest)}" if rest else path, 303)
        answer.set_cookie(cookie_name(self.port), self.token, path="/", httponly=True, samesite="strict")
        return answer


def refused(status: int, error: str, hint: str, headers: dict[str, str] | None = None, accept: str = "") -> Response:
    """A refusal, as every error is told: a person who opens an address gets the words alone."""
    if "text/html" in accept:
        return PlainTextResponse(f"clawvm ui: {error}.\n{hint[0].upper()}{hint[1:]}.\n", status, headers)
    body = encode({"error": error, "hint": hint, "kind": "Refused"})
    return Response(body, status, headers, "application/json")


def _with_headers(send: Send) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            ours = [(name.encode(), value.encode()) for name, value in HEADERS.items()]
            kept = [(name, value) for name, value in message["headers"] if name.decode().lower() not in HEADERS]
            message["headers"] = [*kept, *ours]
        await send(message)

    return sending
