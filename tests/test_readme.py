"""What the README shows runs as it stands there."""

import re
from pathlib import Path

import pytest

README = (Path(__file__).resolve().parent.parent / "README.md").read_text()
PYTHON = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
SHELL = [line for block in re.findall(r"```sh\n(.*?)```", README, re.DOTALL) for line in block.splitlines()]


@pytest.mark.parametrize("code", PYTHON)
def test_python_examples_run(code, tmp_path, monkeypatch):
    """Each Python example runs as it stands, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    exec(compile(code, "README.md", "exec"), names)
    assert names.keys() > {"__builtins__"}


@pytest.mark.parametrize("line", [line for line in SHELL if line.startswith("clawvm ")])
def test_shell_examples_name_verbs_and_options_that_exist(line):
    """Each command line of the README parses: its verb and all its options are known."""
    from clawvm_es.cli.main import cli

    words = re.sub(r"\s#.*", "", line).split()
    command = cli.get_command(None, words[1])
    assert command is not None, line
    known = {option for parameter in command.params for option in parameter.opts}
    assert {word for word in words if word.startswith("--")} <= known
