"""The bars of a server run over one. No time is asserted here."""

from __future__ import annotations

import importlib

from tests.conftest import ROOT


def test_the_bars_of_a_server_are_measured(server, tmp_path, monkeypatch):
    """Appends, steps, folds and many writers have numbers beside their peers; the server keeps no schema of them."""
    monkeypatch.syspath_prepend(str(ROOT / "tools"))
    bench, sizes = (importlib.import_module(f"bench.{name}") for name in ("servers", "sizes"))
    monkeypatch.setenv(bench.VARIABLE, server.url("x").partition("?")[0])
    found = {each.what: each for each in bench.servers(tmp_path, sizes.QUICK)}
    assert all(each.value and each.peer_value and each.ratio for each in found.values())
    assert found["4 writers, durable"].limit is None, "the tests' server does not sync"
    assert len(found) == 5 and server.run("SELECT 1 FROM pg_namespace WHERE nspname LIKE 'bench_%'") == []
