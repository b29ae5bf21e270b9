"""A journal behind a pool in transaction mode: each transaction may go over another connection to the server."""

from __future__ import annotations

import shutil
import socket
import subprocess
import threading
from contextlib import closing

import pytest

from clawvm_es import storage
from clawvm_es.engine.journal import Journal
from clawvm_es.history.redact import Target, redact
from clawvm_es.journal.ports import Durability
from clawvm_es.testing.logs import budget
from tests.waiting import until

PROGRAM = shutil.which("pgbouncer") or shutil.which("pgbouncer", path="/usr/sbin")
SETTINGS = """[databases]
* = host=127.0.0.1 port={server} user=postgres
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = 3
logfile = {folder}/pool.log
"""


def answers(port: int) -> bool:
    """Tell whether something takes connections there."""
    with closing(socket.socket()) as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture(scope="module")
def pool(server, tmp_path_factory):
    """The port of a pool with three connections to the server; skipped without PgBouncer."""
    if PROGRAM is None:
        pytest.skip("there is no pgbouncer here (apt-get install pgbouncer)")
    folder = tmp_path_factory.mktemp("pool")
    for each in folder.parents:
        if each.name.startswith(("pytest-", "popen-")):
            each.chmod(0o755)
    folder.chmod(0o777)
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    settings = folder / "pool.ini"
    settings.write_text(SETTINGS.format(server=server.port, port=port, folder=folder))
    process = subprocess.Popen(
        [PROGRAM, "-q", str(settings)], user=server.user, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        until(lambda: answers(port) or process.poll() is not None, "the pool takes connections")
        assert process.poll() is None, "the pool ended"
        yield port
    finally:
        process.terminate()
        process.wait()


def test_sessions_and_erasures_work_through_a_pool(server, pool):
    """Appends of both kinds, redelivery, read models and an erasure; what is read directly is the same."""
    url, name = server.url("pooled", port=pool), server.url("pooled")
    with Journal.open(url) as journal, journal.session("s", counter="lines4", budget_tokens=400) as session:
        page = session.user_says("hello marmalade", key="k")
        assert session.user_says("hello marmalade", key="k") == page
        session.assemble()
        session.save()
        journal.catch_up()
        done = redact(journal.log, Target(matches=lambda text: "marmalade" in text), at_us=1)
        assert done.status == "removed" and done.bodies
        hashes = [each.hash for each in journal.log.read_all()]
    with storage.open_log(name, read_only=True) as log:
        assert [each.hash for each in log.read_all()] == hashes
    assert storage.verify(url) == ()


def test_writers_through_a_pool_make_one_order(server, pool):
    """Eight writers on three connections: positions are gapless, and each stream has all that was acknowledged."""
    url = server.url("crowded", port=pool)
    storage.open_log(url).close()
    failures: list[BaseException] = []

    def write(name: str) -> None:
        try:
            with storage.open_log(url) as log:
                for number in range(6):
                    durability = Durability.FULL if number % 2 else Durability.NORMAL
                    log.append(name, [budget(number, key=f"{number}")], durability=durability)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=write, args=(f"w{number}",)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    with storage.open_log(url, read_only=True) as log:
        assert [each.seq for each in log.read_all()] == list(range(1, 49))
        assert {head.version for head in log.heads()} == {6}
    assert storage.verify(url) == ()


def test_the_doctor_sees_the_pool(server, pool):
    """What it looks at is good, and it says that a pool stands between."""
    url = server.url("seen", port=pool)
    storage.open_log(url).close()
    found = {each.what: each for each in storage.doctor(url)}
    bad = {name for name, each in found.items() if not each.good}
    assert bad == {"durability"}  # the server of the tests does not sync
    told = [each for each in storage.doctor(url) if "pool" in each.detail]
    assert told and "transaction mode" in told[0].detail
