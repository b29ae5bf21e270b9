"""Installing into settings and taking it out again: nothing of anybody else is touched, nothing of ours is left."""

from __future__ import annotations

import errno
import json
import os
import threading
import tomllib
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clawvm_es.integrations import install, json_text, settings
from clawvm_es.integrations.harnesses import CLAUDE_CODE
from clawvm_es.integrations.ingest import alone, spool_of
from clawvm_es.integrations.install import engine_command
from tests.integrations.sessions import Live

FOREIGN = {
    "model": "opus",
    "hooks": {
        "Stop": [{"matcher": "", "hooks": [{"type": "command", "command": "say done"}]}],
        "PostToolUse": [{"matcher": "Edit|Write", "hooks": [{"type": "command", "command": "python3 spool.py"}]}],
    },
}
Run = Callable[..., str]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home with the folders of both harnesses, and a journal's place in it."""
    for name in ("CLAUDE_CONFIG_DIR", "CODEX_HOME", "XDG_DATA_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("CLAWVM_JOURNAL", str(tmp_path / "it's a journal.db"))
    (tmp_path / ".claude").mkdir()
    (tmp_path / ".codex").mkdir()
    return tmp_path


def claude(home: Path) -> Path:
    """The settings of Claude Code."""
    return home / ".claude" / "settings.json"


@pytest.mark.parametrize("indent", [None, 4, "\t"])
def test_in_and_out_to_the_byte(home: Path, run_verb: Run, indent: int | str | None) -> None:
    """Foreign hooks stay while ours are in, installing twice changes nothing, and the file comes back as it was."""
    before = json.dumps(FOREIGN, indent=indent).encode()
    claude(home).write_bytes(before)
    os.chmod(claude(home), 0o640)
    run_verb("install", "claude-code")
    document = json.loads(claude(home).read_text())
    assert document["hooks"]["Stop"][0] == FOREIGN["hooks"]["Stop"][0]  # type: ignore[index]
    assert document["hooks"]["PostToolUse"] == FOREIGN["hooks"]["PostToolUse"]  # type: ignore[index]
    assert {event for event, _, _ in settings.ours(document)} == set(CLAUDE_CODE.events)
    once = claude(home).read_bytes()
    assert "as they should be" in run_verb("install", "claude-code")
    assert claude(home).read_bytes() == once
    assert "to the byte" in run_verb("uninstall", "claude-code")
    assert claude(home).read_bytes() == before
    assert claude(home).stat().st_mode & 0o777 == 0o640
    assert not (home / "it's a journal.db.spool").exists()


def test_where_there_was_no_file(home: Path, run_verb: Run) -> None:
    """A file of settings that only we wanted goes with us."""
    run_verb("install", "claude-code")
    assert claude(home).exists()
    run_verb("uninstall", "claude-code")
    assert not claude(home).exists()
    assert "none of our hooks" in run_verb("uninstall", "claude-code")


@pytest.mark.parametrize(("name", "folder"), [("claude-code", ".claude"), ("codex", ".codex")])
@pytest.mark.parametrize("used", [False, True])
def test_where_there_was_no_folder(home: Path, run_verb: Run, name: str, folder: str, used: bool) -> None:
    """A folder that was made for our hooks goes with them, unless the harness has put something into it."""
    (home / folder).rmdir()
    before = sorted(home.iterdir())
    run_verb("install", name)
    run_verb("install", name)
    if used:
        (home / folder / "sessions").mkdir()
    run_verb("uninstall", name, "--purge")
    assert sorted(home.iterdir()) == sorted([*before, *([home / folder] if used else [])])
    if used:
        assert [path.name for path in (home / folder).iterdir()] == ["sessions"]


def test_what_was_changed_meanwhile_stays(home: Path, run_verb: Run) -> None:
    """Where somebody changed the settings since, only our entries go, also after they were installed again."""
    claude(home).write_text(json.dumps(FOREIGN, indent=2))
    run_verb("install", "claude-code")
    document = json.loads(claude(home).read_text())
    document["hooks"]["Stop"][0]["hooks"].append({"type": "command", "command": "say more"})
    document["theme"] = "dark"
    claude(home).write_text(json.dumps(document))
    run_verb("install", "claude-code")
    run_verb("uninstall", "claude-code")
    left = json.loads(claude(home).read_text())
    assert left.pop("theme") == "dark"
    assert left["hooks"]["Stop"][0]["hooks"].pop() == {"type": "command", "command": "say more"}
    assert left == FOREIGN


@pytest.mark.parametrize("text", ["{", "[]", '{"hooks": []}', '{"hooks": {"Stop": {}}}', '{"hooks": {"Stop": [1]}}'])
def test_settings_that_cannot_be_understood(home: Path, run_verb: Run, text: str) -> None:
    """They are left as they are, in one line, and nothing else is made."""
    claude(home).write_text(text)
    for verb in ("install", "uninstall"):
        said = run_verb(verb, "claude-code", code=2).splitlines()
        assert len(said) == 1 and "nothing was changed" in said[0]
    assert claude(home).read_text() == text
    assert not (home / "it's a journal.db.spool").exists()


def test_settings_that_are_a_link(home: Path, run_verb: Run) -> None:
    """Those whose settings are links into a folder of dotfiles keep their links."""
    real = home / "dotfiles.json"
    real.write_text("{}")
    claude(home).symlink_to(real)
    run_verb("install", "claude-code")
    assert claude(home).is_symlink() and len(real.read_text()) > 100
    run_verb("uninstall", "claude-code")
    assert real.read_text() == "{}" and claude(home).is_symlink()


def test_settings_that_cannot_be_written(home: Path, run_verb: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that takes no settings gets one line of refusal: no hook, no server and no spool is left."""
    claude(home).write_text("{}")
    whole = install.write_whole

    def refused(path: Path, *rest: Any) -> int:
        if path == claude(home):
            raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))
        return whole(path, *rest)

    monkeypatch.setattr(install, "write_whole", refused)
    said = run_verb("install", "claude-code", code=2).splitlines()
    assert len(said) == 1 and "Read-only" in said[0]
    assert sorted(path.name for path in home.glob(".c*")) == [".claude", ".codex"]
    assert claude(home).read_text() == "{}" and not list(home.glob("*.spool"))


def test_another_journal(home: Path, run_verb: Run) -> None:
    """Installed for another journal, the hooks move to it, and come out again from there."""
    before = json.dumps(FOREIGN)
    claude(home).write_text(before)
    run_verb("install", "claude-code")
    other = home / "other.db"
    assert "were replaced" in run_verb("install", "claude-code", "--journal", str(other))
    found = {folder for _, folder, _ in settings.ours(json.loads(claude(home).read_text()))}
    assert found == {Path(f"{other}.spool")}
    run_verb("uninstall", "claude-code")
    assert json.loads(claude(home).read_text()) == FOREIGN


def test_what_still_works_is_waited_for(home: Path, run_verb: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that takes events while hooks are uninstalled finishes first, and leaves nothing in the folder."""
    run_verb("install", "claude-code")
    folder = spool_of(home / "it's a journal.db")
    taking = alone(folder, 0.0)
    assert taking.__enter__()
    (folder / "half written").touch()

    def finishes(folder: Path, wait_s: float) -> AbstractContextManager[bool]:
        assert not alone(folder, 0.0).__enter__() and wait_s > 0
        (folder / "half written").unlink()
        taking.__exit__(None, None, None)
        return alone(folder, wait_s)

    monkeypatch.setattr(install, "alone", finishes)
    run_verb("uninstall", "claude-code")
    assert not folder.exists()


def test_an_installation_beside_an_uninstallation(home: Path, run_verb: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """The spool stays for a harness that is installed while another one goes, and so does its lock."""
    run_verb("install", "claude-code")
    journal = str(home / "it's a journal.db")
    goes = threading.Thread(target=lambda: install.uninstall("claude-code", journal))
    writes = install._write_spool

    def write_slowly(folder: Path, journal: str) -> None:
        writes(folder, journal)
        goes.start()
        goes.join(0.5)

    monkeypatch.setattr(install, "_write_spool", write_slowly)
    run_verb("install", "codex")
    goes.join()
    kept = {path.name for path in spool_of(journal).iterdir()}
    assert {settings.SCRIPT, install.ENGINE, "codex.installed"} <= kept
    assert not any(name.startswith("claude-code") for name in kept)


def test_a_lock_that_was_taken_away_is_none(tmp_path: Path) -> None:
    """Who waited for a lock that an uninstallation took away takes the new one, and is alone with it."""
    with alone(tmp_path, 0.0) as held:
        assert held
        waits = threading.Thread(target=lambda: alone(tmp_path, 30.0).__enter__() and both.append("waited"))
        both: list[str] = []
        waits.start()
        (tmp_path / "lock").unlink()
        newer = alone(tmp_path, 30.0)
        assert newer.__enter__()
    waits.join(0.5)
    assert both == []
    newer.__exit__(None, None, None)
    waits.join()
    assert both == ["waited"]


def test_what_is_left_and_purged(home: Path, run_verb: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """What waits is recorded; journal and events that nobody can take stay and are named, and go if asked."""
    monkeypatch.setattr(install, "TAKING_S", 0.0)
    run_verb("install", "claude-code")
    live = Live(home / "it's a journal.db", home / "work")
    live.hook("SessionStart", source="startup")
    said = run_verb("uninstall", "claude-code")
    assert "it's a journal.db" in said and "no journal has" not in said
    assert not spool_of(live.journal).exists()
    run_verb("install", "claude-code")
    live.hook("Stop")
    with alone(spool_of(live.journal), 0.0) as held:
        assert held
        assert "1 events that no journal has" in run_verb("uninstall", "claude-code")
    run_verb("sessions")
    run_verb("install", "claude-code")
    run_verb("install", "codex")
    assert "still writes" in run_verb("uninstall", "claude-code", "--purge", code=2)
    run_verb("uninstall", "codex")
    run_verb("uninstall", "claude-code", "--purge")
    assert sorted(path.name for path in home.iterdir()) == [".claude", ".codex", "work"]


def test_the_folder_of_our_own_goes_too(home: Path, run_verb: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a journal of another name, nothing of ours is left in the data folder."""
    monkeypatch.delenv("CLAWVM_JOURNAL")
    monkeypatch.setenv("XDG_DATA_HOME", str(home / "data"))
    run_verb("install", "claude-code")
    assert (home / "data" / "clawvm" / "journal.db").exists()
    run_verb("uninstall", "claude-code", "--purge")
    assert list((home / "data").iterdir()) == []


def test_codex(home: Path, run_verb: Run) -> None:
    """Its hooks have a file of their own; that it runs none that nobody trusted is said, and found by the doctor."""
    assert "/hooks" in run_verb("install", "codex")
    document = json.loads((home / ".codex" / "hooks.json").read_text())
    assert {event for event, _, _ in settings.ours(document)} == {"SessionStart", "PreCompact", "Stop"}
    assert "0 of 3 hooks are trusted" in run_verb("doctor", code=1)
    key = home / ".codex" / "hooks.json"
    states = [f'[hooks.state."{key}:{event}:0:0"]\ntrusted_hash = "sha256:1"\n' for event in ("a", "b", "c")]
    with open(home / ".codex" / "config.toml", "a") as config:
        config.write("".join(states))
    assert "its hooks were trusted" in run_verb("doctor")
    run_verb("uninstall", "codex")
    assert not key.exists()


def test_the_doctor(home: Path, run_verb: Run) -> None:
    """It finds what a harness never shows: a changed spool, no engine, a journal that is none, events that wait."""
    assert "clawvm install" in run_verb("doctor")
    run_verb("install", "claude-code")
    assert "bad" not in run_verb("doctor")
    journal, folder = home / "it's a journal.db", home / "it's a journal.db.spool"
    (folder / "spool.py").write_text("")
    (folder / "engine.json").write_text(json.dumps({"command": [str(home / "none"), "-I", "-c", ""]}))
    journal.write_bytes(b"no journal")
    (folder / f"{1:020d}-1.json").write_text("{}")
    (folder / "problems.log").write_text("2026-01-01T00:00:00Z Stop: the disk was full\n")
    document = json.loads(claude(home).read_text())
    del document["hooks"]["Stop"]
    claude(home).write_text(json.dumps({**document, "disableAllHooks": True}))
    checks = json.loads(run_verb("doctor", "--json", code=1).partition("\nclawvm")[0])["checks"]
    bad = [check["what"] for check in checks if not check["ok"]]
    assert bad == ["Claude Code", "Claude Code", "spool", "engine", "journal", "events", "problem"]
    assert "disk was full" not in run_verb("doctor", "--forget", code=1)


def test_the_engine_runs_whatever_the_environment_says() -> None:
    """The command holds the interpreter and the package of the installation."""
    command = engine_command("mcp", "--journal", "/j.db")
    assert os.path.isabs(command[0]) and command[1] == "-I"
    assert command[-3:] == ["mcp", "--journal", "/j.db"]


def test_the_server_goes_in_and_out(home: Path, run_verb: Run) -> None:
    """The MCP server stands beside others in the harness's own file, and only it comes out."""
    own, config = home / ".claude.json", home / ".codex" / "config.toml"
    own.write_text(json.dumps({"userID": "x", "mcpServers": {"other": {"command": "x"}}}, indent=2))
    config.write_text('model = "m"')
    before = own.read_bytes(), config.read_bytes()
    for name in ("claude-code", "codex"):
        run_verb("install", name)
        once = own.read_bytes(), config.read_bytes()
        run_verb("install", name)
        assert (own.read_bytes(), config.read_bytes()) == once
    server = json.loads(own.read_text())["mcpServers"]["clawvm"]
    table = tomllib.loads(config.read_text())["mcp_servers"]["clawvm"]
    assert [server["command"], *server["args"]] == [table["command"], *table["args"]]
    for name in ("claude-code", "codex"):
        run_verb("uninstall", name)
    assert (own.read_bytes(), config.read_bytes()) == before


@pytest.mark.parametrize(
    ("name", "file", "text"),
    [
        ("codex", ".codex/config.toml", "no = toml = this"),
        ("codex", ".codex/config.toml", '[mcp_servers.clawvm]\ncommand = "mine"\n'),
        ("codex", ".codex/config.toml", 'mcp_servers = { other = { command = "x" } }\n'),
        ("claude-code", ".claude.json", '{"mcpServers": {"clawvm": {"command": "mine"}}}'),
        ("claude-code", ".claude.json", '{"mcpServers": []}'),
    ],
)
def test_servers_that_cannot_stand_beside_ours(home: Path, run_verb: Run, name: str, file: str, text: str) -> None:
    """A server of our name that is not ours, or a table that takes no other, stays, and nothing is installed."""
    (home / file).write_text(text)
    said = run_verb("install", name, code=2).splitlines()
    assert len(said) == 1 and "nothing was changed" in said[0]
    assert (home / file).read_text() == text
    assert not (home / "it's a journal.db").exists() and not list(home.glob(".c*/[hs]*.json"))


BLANKS = st.text(" \t\r\n", max_size=3)


def spaced(value: Any, draw: st.DrawFn) -> str:
    """A JSON value as people write it, with blanks anywhere."""
    if not isinstance(value, dict):
        return json.dumps(value, ensure_ascii=draw(st.booleans()))
    inner = ",".join(f"{draw(BLANKS)}{json.dumps(n)}{draw(BLANKS)}:{spaced(v, draw)}" for n, v in value.items())
    return f"{draw(BLANKS)}{{{inner}{draw(BLANKS)}}}{draw(BLANKS)}"


@st.composite
def files(draw: st.DrawFn) -> str:
    """The text of a harness's file: blanks, or an object that may hold servers, in any spacing."""
    values = st.dictionaries(st.text(max_size=3), st.none() | st.floats(allow_nan=False) | st.text(max_size=3))
    servers = st.dictionaries(st.sampled_from(["other", "é", ""]), values, max_size=2)
    document: dict[str, Any] = draw(values)
    if draw(st.booleans()):
        document["mcpServers"] = draw(servers)
    return draw(BLANKS) if draw(st.integers(0, 9)) == 0 else spaced(document, draw)


@given(files())
def test_law_of_splices(text: str) -> None:
    """LAW-SPLICE-1: an entry is read beside what was there, and without it the text is what it was."""
    before = json.loads(text) if text.strip() else {}
    now = json_text.put(text, "mcpServers", "clawvm", {"command": "x"})
    assert json.loads(now) == {**before, "mcpServers": {**before.get("mcpServers", {}), "clawvm": {"command": "x"}}}
    assert json_text.take(now, "mcpServers", "clawvm") == text
    anew = json_text.take(json.dumps(json.loads(now), indent=2), "mcpServers", "clawvm")
    rest = {name: value for name, value in before.items() if name != "mcpServers" or value}
    assert json.loads(anew) == rest


ODD = {
    "no file": None,
    "nothing": b"",
    "no end of line": b'# mine\nmodel = "m"  # the best',
    "CRLF": b'model = "m"\r\n\r\n[tui]\r\nx = 1\r\n',
    "dotted": b'mcp_servers.other.command = "x"\n',
}


@pytest.mark.parametrize("how", sorted(ODD))
@pytest.mark.parametrize("used", [False, True])
def test_toml_comes_back_to_the_byte(home: Path, run_verb: Run, how: str, used: bool) -> None:
    """Comments, ends of lines and a missing one at the end stay; what others add behind our part stays, too."""
    config, more, before = home / ".codex" / "config.toml", b'[projects."/w"]\ntrust_level = "trusted"\n', ODD[how]
    if before is not None:
        config.write_bytes(before)
    run_verb("install", "codex")
    if used:
        config.write_bytes(config.read_bytes() + more)
    run_verb("uninstall", "codex")
    if used:
        assert config.read_bytes() in (joined + more for joined in (before or b"", (before or b"") + b"\n"))
        tomllib.loads(config.read_text())
    else:
        assert (config.read_bytes() if config.exists() else None) == before


HOOK = st.fixed_dictionaries({"type": st.just("command"), "command": st.text(max_size=30)})
GROUP = st.fixed_dictionaries({"hooks": st.lists(HOOK, max_size=2)}, optional={"matcher": st.text(max_size=5)})
EVENTS = st.sampled_from([*CLAUDE_CODE.events, "PreToolUse"])
SETTINGS = st.fixed_dictionaries(
    {},
    optional={
        "hooks": st.dictionaries(EVENTS, st.lists(GROUP, min_size=1, max_size=2), min_size=1, max_size=3),
        "env": st.dictionaries(st.text(max_size=5), st.text(max_size=5), max_size=2),
    },
)


@given(SETTINGS, st.text(st.characters(exclude_characters="\n\0", codec="utf-8"), min_size=1, max_size=20))
def test_law_of_settings(document: dict[str, Any], name: str) -> None:
    """LAW-SETTINGS-1: without ours is what was before, whatever stood there and wherever the spool is."""
    folder = Path(f"/home/{name.replace('/', '_')}.spool")
    command = settings.command_of(folder, CLAUDE_CODE.name)
    now = settings.with_ours(document, CLAUDE_CODE.events, command)
    assert {(event, each) for event, each, _ in settings.ours(now)} == {
        (event, folder) for event in CLAUDE_CODE.events
    }
    assert settings.with_ours(now, CLAUDE_CODE.events, command) == now
    assert settings.without_ours(now) == document
