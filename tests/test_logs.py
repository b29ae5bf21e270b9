"""Warnings: structlog is loaded and set up by the first of them."""

from __future__ import annotations

import subprocess
import sys

CODE = """import sys
from clawvm_es import logs
from clawvm_es.cli.output import configure_logging
logs.set_up_by(configure_logging)
print("structlog" in sys.modules)
for number in range(2):
    logs.Log("clawvm_es.x").warning("looked at", number=number)
logs.set_up_by(lambda: print("at once"))"""


def test_the_first_warning_loads_and_sets_up() -> None:
    """Both warnings go where the program sends them; whoever sets up later does so at once."""
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, check=True, text=True)
    assert done.stdout == "False\nat once\n"
    assert [("looked at" in line, "number" in line) for line in done.stderr.splitlines()] == [(True, True)] * 2
