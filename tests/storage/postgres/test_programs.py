"""The tests' own server: an installed one before the wheel's, of each the newest, and no root."""

from __future__ import annotations

import pytest

from tests.storage.postgres import servers


@pytest.fixture
def places(tmp_path, monkeypatch):
    """Make folders of programs; the search looks there only."""
    monkeypatch.setattr(servers, "INSTALLED", str(tmp_path / "installed" / "*" / "bin"))
    monkeypatch.setattr(servers.shutil, "which", lambda _: None)
    monkeypatch.setattr(servers, "WHEEL", "wheel_of_a_server")
    monkeypatch.syspath_prepend(tmp_path)

    def make(*names):
        for name in names:
            (tmp_path / name / "bin").mkdir(parents=True)
        return tmp_path

    return make


def test_an_installed_server_comes_before_the_wheel(places):
    """Without either the tests are skipped, aloud; the wheel's newest serves until one is installed."""
    with pytest.raises(pytest.skip.Exception, match=r"apt-get install postgresql, or 'clawvm-es\[postgres-test\]'"):
        servers.programs()
    made = places("wheel_of_a_server/pginstall", "wheel_of_a_server/pginstall18", "wheel_of_a_server/pginstall9")
    assert servers.programs() == made / "wheel_of_a_server/pginstall18/bin"
    places("installed/9", "installed/15")
    assert servers.programs() == made / "installed/15/bin"


def test_root_runs_no_server(monkeypatch):
    """As root the server's own user runs it, or else nobody; no user is added for it."""
    monkeypatch.setattr(servers.os, "geteuid", lambda: 1000)
    assert servers.unprivileged() is None
    monkeypatch.setattr(servers.os, "geteuid", lambda: 0)
    for names, user in (({"root", "nobody"}, "nobody"), ({"nobody", "postgres"}, "postgres")):
        monkeypatch.setattr(servers.pwd, "getpwall", lambda names=names: [_User(name) for name in sorted(names)])
        assert servers.unprivileged() == user


class _User:
    def __init__(self, name):
        self.pw_name = name
