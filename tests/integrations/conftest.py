"""What tests of integrations share."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from clawvm_es.cli.main import main


@pytest.fixture
def run_verb(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Run a verb in this process; returns what it prints."""

    def run(*arguments: str, code: int = 0) -> str:
        capsys.readouterr()
        with pytest.raises(SystemExit) as left:
            main(list(arguments))
        printed = capsys.readouterr()
        assert (left.value.code or 0) == code, printed.err
        return printed.out + printed.err

    return run
