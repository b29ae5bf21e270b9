"""Fixtures of a user at a shell: a file, the program run on it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from clawvm_es.cli.main import main
from tests.acceptance.user import Ran, lines


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Callable[..., Ran]:
    """Run the program in this process."""

    def runner(*arguments: object) -> Ran:
        capsys.readouterr()
        with pytest.raises(SystemExit) as left:
            main([str(argument) for argument in arguments])
        out, err = capsys.readouterr()
        assert isinstance(left.value.code, int)
        return Ran(left.value.code, out, err)

    return runner


@pytest.fixture
def file(tmp_path: Path) -> Callable[..., Path]:
    """Write a file: rows, a text or bytes."""

    def write(content: Any, name: str = "session.jsonl") -> Path:
        path = tmp_path / name
        if not isinstance(content, str | bytes):
            content = lines(content)
        path.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8", "surrogatepass"))
        return path

    return write


@pytest.fixture
def replayed(run: Callable[..., Ran], tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """Replay a file into `j.db`, check that it worked and that the journal verifies; the session's document."""

    def replay(path: Path, *options: object) -> dict[str, Any]:
        journal = tmp_path / "j.db"
        ran = run("replay", path, "-j", journal, "--json", *options)
        assert (ran.code, ran.err) == (0, "")
        assert run("verify", journal).code == 0
        (document,) = ran.json["sessions"]
        return dict(document)

    return replay
