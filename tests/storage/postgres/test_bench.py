"""The bars of a server run over one. No time is asserted here."""

from __future__ import annotations

import importlib

from clawvm_es.engine.journal import Journal
from tests.conftest import ROOT


def test_the_bars_of_a_server_are_measured(server, tmp_path, monkeypatch):
    """Appends, steps, folds and many writers have numbers beside their peers; the server keeps no schema of them."""
    monkeypatch.syspath_prepend(str(ROOT / "tools"))
    bench, sizes = (importlib.import_module(f"bench.{name}") for name in ("servers", "sizes"))
    monkeypatch.setenv(bench.VARIABLE, server.url("x").partition("?")[0])
    flush = bench._flush_ms
    monkeypatch.setattr(bench, "_flush_ms", lambda log: min(flush(log), 0.1))  # also where the machine is busy
    found = {each.what: each for each in bench.servers(tmp_path, sizes.QUICK)}
    assert all(each.value and each.peer_value and each.ratio for each in found.values())
    assert found["4 writers, durable"].limit is None, "the tests' server does not sync"
    assert len(found) == 5 and server.run("SELECT 1 FROM pg_namespace WHERE nspname LIKE 'bench_%'") == []


def test_a_busy_machine_judges_no_fold(tmp_path, monkeypatch):
    """A fold from a file that takes longer than its CPU time says that others had the cores: nothing is judged."""
    monkeypatch.syspath_prepend(str(ROOT / "tools"))
    bench, sizes = (importlib.import_module(f"bench.{name}") for name in ("servers", "sizes"))
    with Journal.open(tmp_path / "j.db") as journal:
        with journal.session("live", counter="lines4") as session:
            session.user_says("hello")
        for cpu_s, limit in ((0.0, None), (60.0, 1.1)):
            monkeypatch.setattr(bench, "_cpu_s", lambda work, cpu_s=cpu_s: work() or cpu_s or 1e-9)
            found = bench._folds(journal, journal, sizes.QUICK)
            assert found.limit == limit and ("not judged" in found.note) == (limit is None)
            assert "CPU time without the server's: 1.00" in found.note
