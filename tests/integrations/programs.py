"""Real harnesses as tests run them: where they are, each in a home of its own, against a fake API."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any, Final

import attrs
import pytest

from clawvm_es.cli.main import main
from tests.conftest import ROOT
from tests.integrations.fake_api import FakeApi

CLAUDE_VERSION: Final = "2.1.197"
CODEX_VERSION: Final = "0.169.0"
TIMEOUT_S: Final = 120
"""Nothing is judged by this: it ends a program that hangs."""


def claude_code() -> str:
    """The path of Claude Code; skips where it is not installed."""
    found = os.environ.get("CLAWVM_CLAUDE_CODE") or shutil.which("claude")
    if not found or not os.path.exists(found):
        pytest.skip(
            f"no claude-code (npm install @anthropic-ai/claude-code@{CLAUDE_VERSION}; set CLAWVM_CLAUDE_CODE)"
        )
    return found


def codex() -> str:
    """The path of Codex; skips where it is not installed."""
    found = os.environ.get("CLAWVM_CODEX") or shutil.which("codex")
    if not found or not os.path.exists(found):
        pytest.skip(f"no codex (npm install @openai/codex@{CODEX_VERSION}; set CLAWVM_CODEX)")
    return found


def clawvm(*arguments: str, home: Path, code: int = 0) -> str:
    """Run a verb in a home, in this process; returns what it prints."""
    before, left_with = dict(os.environ), None
    printed = io.TextIOWrapper(io.BytesIO(), "utf-8", write_through=True)
    for name in ("CLAUDE_CONFIG_DIR", "CODEX_HOME", "XDG_DATA_HOME", "CLAWVM_JOURNAL"):
        os.environ.pop(name, None)
    os.environ["HOME"] = str(home)
    try:
        with redirect_stdout(printed):
            main(list(arguments))
    except SystemExit as left:
        left_with = left.code
    finally:
        os.environ.clear()
        os.environ.update(before)
    printed.seek(0)
    said = printed.read()
    assert (left_with or 0) == code, said
    return said


def environment(home: Path) -> dict[str, str]:
    """The environment of a person who has nothing but a home."""
    paths = [str(Path(sys.executable).parent), os.environ["PATH"]]
    return {"HOME": str(home), "PATH": os.pathsep.join(paths), "PYTHONPATH": str(ROOT), "LANG": "C.UTF-8"}


@attrs.define
class ClaudeCode:
    """Claude Code in a home and a folder of its own."""

    program: str
    home: Path
    work: Path
    shown: list[dict[str, Any]] = attrs.field(factory=list)
    """All rows that it printed."""

    @classmethod
    def at(cls, program: str, folder: Path) -> ClaudeCode:
        """Make the folders."""
        made = cls(program, folder / "home", folder / "work")
        (made.home / ".claude").mkdir(parents=True)
        made.work.mkdir()
        return made

    @property
    def settings(self) -> Path:
        """The file of its settings."""
        return self.home / ".claude" / "settings.json"

    @property
    def journal(self) -> Path:
        """The journal in the home's data folder."""
        return self.home / ".local" / "share" / "clawvm" / "journal.db"

    @property
    def spool(self) -> Path:
        """The journal's spool."""
        return self.journal.with_name("journal.db.spool")

    def transcripts(self) -> list[Path]:
        """The transcripts of its sessions."""
        return sorted(self.home.glob(".claude/projects/*/*.jsonl"))

    def talk(
        self, api: FakeApi, said: Sequence[str | tuple[Callable[[], None], str]], **variables: str
    ) -> list[dict[str, Any]]:
        """Say one thing after the other, each when the one before is answered; returns the results.

        Of a pair the first is called before the second is said.
        """
        modes = ("--input-format", "stream-json", "--output-format", "stream-json", "--verbose")
        command = [self.program, "-p", *modes, "--permission-mode", "bypassPermissions"]
        program = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            cwd=self.work,
            env={**self._environment(api), **variables},
        )
        assert program.stdin is not None and program.stdout is not None
        results: list[dict[str, Any]] = []
        try:
            rest = iter(said)
            program.stdin.write(_said(next(rest)))
            program.stdin.flush()
            for line in program.stdout:
                row = json.loads(line)
                self.shown.append(row)
                if row.get("type") != "result":
                    continue
                results.append(row)
                following = next(rest, None)
                if following is None:
                    program.stdin.close()
                else:
                    program.stdin.write(_said(following))
                    program.stdin.flush()
            assert program.wait(TIMEOUT_S) == 0
        finally:
            program.kill()
            program.wait()
            program.stdout.close()
        return results

    def _environment(self, api: FakeApi) -> Mapping[str, str]:
        return {
            **environment(self.home),
            "ANTHROPIC_BASE_URL": api.url,
            "ANTHROPIC_API_KEY": "sk-ant-api03-none",
            "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
            "DISABLE_AUTOUPDATER": "1",
            "DISABLE_TELEMETRY": "1",
            "CLAUDE_CODE_ENABLE_TASKS": "1",  # later releases offer no plan to programs by themselves
            "CLAUDE_CODE_ENABLE_TODO_TOOLS": "1",
            "IS_SANDBOX": "1",
        }


def _said(what: str | tuple[Callable[[], None], str]) -> str:
    if isinstance(what, tuple):
        what[0]()
        what = what[1]
    text = what
    return json.dumps({"type": "user", "message": {"role": "user", "content": text}}) + "\n"


@attrs.define
class Codex:
    """Codex in a home and a folder of its own."""

    program: str
    home: Path
    work: Path

    @classmethod
    def at(cls, program: str, folder: Path) -> Codex:
        """Make the folders."""
        made = cls(program, folder / "home", folder / "work")
        made.folder.mkdir(parents=True)
        made.work.mkdir()
        return made

    @property
    def folder(self) -> Path:
        """The folder of its settings."""
        return self.home / ".codex"

    @property
    def journal(self) -> Path:
        """The journal in the home's data folder."""
        return self.home / ".local" / "share" / "clawvm" / "journal.db"

    def transcripts(self) -> list[Path]:
        """The transcripts of its sessions."""
        return sorted(self.folder.glob("sessions/*/*/*/*.jsonl"))

    def run(self, api: FakeApi, said: str, *flags: str, goes_on: bool = False, **settings: object) -> Any:
        """Say one thing and wait for the last answer, in a new session or in the last one; returns the last event."""
        provider = {"name": "fake", "base_url": api.url, "env_key": "FAKE_KEY", "wire_api": "responses"}
        retries = {"request_max_retries": 0, "stream_max_retries": 0}
        values: dict[str, object] = {
            **{"model": "fake", "model_provider": "fake", "tools.update_plan.enabled": True},
            **{f"model_providers.fake.{name}": value for name, value in {**provider, **retries}.items()},
            **{"check_for_update_on_startup": False, "analytics.enabled": False, **settings},
            **dict.fromkeys(("features.apps", "features.plugins", "features.remote_plugin"), False),
        }
        sets = [part for name, value in values.items() for part in ("-c", f"{name}={json.dumps(value)}")]
        free = ("--skip-git-repo-check", "--dangerously-bypass-approvals-and-sandbox")
        done = subprocess.run(
            [self.program, "exec", *(["resume", "--last"] if goes_on else []), "--json", *free, *flags, *sets, said],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            cwd=self.work,
            env={**environment(self.home), "FAKE_KEY": "none"},
            timeout=TIMEOUT_S,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return json.loads(done.stdout.splitlines()[-1])
