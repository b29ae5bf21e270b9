"""The program, run in the process of the tests."""

from __future__ import annotations

import pytest

from clawvm_es.cli.main import main


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
