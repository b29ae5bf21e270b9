"""The proxy as a server: on a port of this machine, until it is interrupted."""

from __future__ import annotations

import asyncio
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import attrs
import uvicorn

from clawvm_es.errors import ClawVMError, UsageError
from clawvm_es.integrations.ingest import note, spool_of
from clawvm_es.integrations.proxy.app import Proxy
from clawvm_es.integrations.proxy.histories import COUNTER, Counts, Histories, Options
from clawvm_es.integrations.proxy.recorder import Recorder
from clawvm_es.integrations.proxy.remembered import Remembered, remembered
from clawvm_es.representations.counter import counter
from clawvm_es.serving import LOOPBACK_ADDRESSES, Server, bound, why_not

PORT: Final = 8742
SETTLE_S: Final = 2.0
"""Time for which a request that continues an answer waits until that answer was read."""
SWITCH_S: Final = 0.0005
"""Time after which the recorder lets a request pass that waits for the interpreter; 5 ms by default."""
_GRACE_S: Final = 2


@attrs.frozen
class Place:
    """Address at which a proxy listens."""

    socket: socket.socket
    host: str
    port: int

    @property
    def address(self) -> str:
        """The address that a client is given."""
        return f"http://{f'[{self.host}]' if ':' in self.host else self.host}:{self.port}"


def listen(host: str = LOOPBACK_ADDRESSES[0], port: int = PORT) -> Place:
    """Take a port; 0 takes a free one. Raises `UsageError` where it cannot be had."""
    try:
        found = bound(host, port)
    except OSError as error:
        raise UsageError(why_not(host, port, error), hint="--port 0 takes a free one") from error
    return Place(found, host, found.getsockname()[1])


def checked(upstream: str | None, place: Place) -> str | None:
    """The address of the provider. Raises `UsageError` for an invalid one, and for our own."""
    if upstream is None:
        return None
    parts = urlsplit(upstream)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise UsageError(f"--upstream {upstream}: no address", hint="such as https://api.anthropic.com")
    if parts.port == place.port and parts.hostname in (*LOOPBACK_ADDRESSES, place.host):
        raise UsageError(f"--upstream {upstream} is this proxy itself", hint="name the provider's address")
    return upstream


@attrs.define
class Problems:
    """Failures, reported once per kind: to whoever started the proxy, and to `clawvm doctor` when it has room."""

    folder: Path
    tell: Callable[[str], None]
    _known: set[str] = attrs.field(factory=set)
    _unkept: list[str] = attrs.field(factory=list)
    _lock: threading.Lock = attrs.field(factory=threading.Lock)

    def __call__(self, kind: str, line: str) -> None:
        """Tell of a failure."""
        with self._lock:
            if kind in self._known:
                return
            self._known.add(kind)
            self._unkept.append(f"proxy: {line}")
        self.keep()
        with suppress(Exception):  # nobody may be there to be told: a closed pipe, a terminal that is gone
            self.tell(line)

    def keep(self) -> None:
        """Keep for `clawvm doctor` what could not be kept before."""
        with self._lock:
            if not self._unkept:
                return
            try:
                self.folder.mkdir(mode=0o700, exist_ok=True)
            except OSError:
                return
            self._unkept = [line for line in self._unkept if not note(self.folder, line)]


def made(journal: str, options: Options, upstream: str | None, tell: Callable[[str], None]) -> Proxy:
    """A proxy that records into the journal at a path; its counter is loaded meanwhile."""
    problems = Problems(spool_of(journal), tell)
    counts = Counts()
    threading.Thread(target=lambda: counter(COUNTER).count("warm"), daemon=True).start()
    recorder = Recorder(journal, problems, problems.keep)

    def recall(session: str) -> Remembered:
        try:
            return remembered(journal, session)
        except (ClawVMError, OSError):  # the recorder tells of it, and the conversation begins anew
            return Remembered()

    histories = Histories(options, counts, lambda: recorder.flush(SETTLE_S), recall)
    return Proxy(histories, recorder, upstream, problems)


def serve(
    proxy: Proxy, place: Place, ready: Callable[[], None] = lambda: None, stop: threading.Event | None = None
) -> None:
    """Forward requests until interrupted, or until `stop` is set; then record what waits."""
    config = uvicorn.Config(
        proxy,
        log_level="critical",
        access_log=False,
        server_header=False,
        date_header=False,
        lifespan="off",
        timeout_graceful_shutdown=_GRACE_S,
        timeout_keep_alive=75,
        ws="none",
    )
    server = Server(config, ready)

    async def run() -> None:
        waiting = asyncio.create_task(_stops(server, stop)) if stop is not None else None
        try:
            await server.serve([place.socket])
        finally:
            if waiting is not None:
                waiting.cancel()
            await proxy.close()

    interval = sys.getswitchinterval()
    sys.setswitchinterval(SWITCH_S)
    proxy.recorder.start()
    with _ended_by(server, *_ENDS):
        try:
            asyncio.run(run())
        except KeyboardInterrupt:
            pass
        finally:
            place.socket.close()
            proxy.recorder.stop()
            sys.setswitchinterval(interval)


_ENDS: Final = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
"""Signals that end a proxy as an interrupt does: else it would be gone before what waits is recorded."""


@contextmanager
def _ended_by(server: uvicorn.Server, *signals: signal.Signals) -> Iterator[None]:
    """Let signals end the server, until the block ends; those that are ignored stay so."""

    def end(number: int, frame: object) -> None:
        server.should_exit = True

    ours = threading.current_thread() is threading.main_thread()
    before = {each: signal.getsignal(each) for each in signals if ours}
    taken = [each for each, handler in before.items() if handler is signal.SIG_DFL]
    for each in taken:
        signal.signal(each, end)
    try:
        yield
    finally:
        for each in taken:
            signal.signal(each, signal.SIG_DFL)


async def _stops(server: uvicorn.Server, stop: threading.Event) -> None:
    await asyncio.to_thread(stop.wait)
    server.should_exit = True
