"""The public face of the package."""

import subprocess
import sys

import pytest

import clawvm_es


@pytest.mark.parametrize("name", clawvm_es.__all__)
def test_every_public_name_loads_and_is_documented(name):
    """What `__all__` names exists and says what it is."""
    assert getattr(clawvm_es, name).__doc__


def test_importing_the_package_loads_nothing_heavy():
    """The package itself imports neither SQLite, tokenizers, nor the engine (bar P8)."""
    heavy = ["sqlite3", "tiktoken", "clawvm_es.engine", "attrs"]
    code = f"import sys, clawvm_es; print([name for name in {heavy} if name in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_an_unknown_name_is_an_attribute_error():
    """A misspelled public name is reported as any module would."""
    with pytest.raises(AttributeError, match="Jurnal"):
        clawvm_es.Jurnal  # noqa: B018 (the access is the test)
