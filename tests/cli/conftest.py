"""The program, run in the process of the tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from clawvm_es.cli.main import main


@pytest.fixture(scope="session")
def demo_journal(tmp_path_factory) -> Path:
    """The journal of the demo, with its three sessions; tests leave it as it is."""
    path = tmp_path_factory.mktemp("demo") / "demo.db"
    with pytest.raises(SystemExit) as left:
        main(["demo", "--journal", str(path)])
    assert left.value.code == 0
    return path


@pytest.fixture
def run(capsys):
    """Run the program in this process: exit code, stdout, stderr."""

    def runner(*arguments) -> tuple[int, str, str]:
        capsys.readouterr()
        with pytest.raises(SystemExit) as left:
            main([str(argument) for argument in arguments])
        out, err = capsys.readouterr()
        return left.value.code, out, err

    return runner
