"""What the distribution holds beside the modules: license, changelog, data."""

from __future__ import annotations

import re
import tomllib
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path

import pytest
from hatchling.builders.sdist import SdistBuilder
from hatchling.builders.wheel import WheelBuilder

import clawvm_es
from clawvm_es.cli.main import main

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


@pytest.fixture(scope="module", params=[WheelBuilder, SdistBuilder], ids=["wheel", "sdist"])
def builder(request):
    """What hatchling would put into a wheel and into a source distribution."""
    return request.param(str(ROOT))


def test_both_distributions_hold_license_and_changelog(builder):
    """Every file of the package is shipped, and the metadata names the license's text."""
    shipped = {file.relative_path for file in builder.recurse_included_files()}
    wanted = {f"clawvm_es/{name}" for name in ("LICENSE", "CHANGELOG.md", "cli/demo_session.jsonl")}
    assert wanted <= shipped
    assert builder.metadata.core.license_files == ["clawvm_es/LICENSE"]
    assert builder.metadata.core.license_expression == "MIT"


@pytest.mark.parametrize("name", ["LICENSE", "CHANGELOG.md"])
def test_what_is_installed_can_be_read(name):
    """License and changelog are resources of the package."""
    text = (files("clawvm_es") / name).read_text(encoding="utf-8")
    assert ("Permission is hereby granted" if name == "LICENSE" else "## Unreleased") in text


def test_the_changelog_knows_the_version(capsys):
    """The version that `--version` prints is the package's, and has a section of its own."""
    with pytest.raises(SystemExit) as left:
        main(["--version"])
    sections = re.findall(r"^## (.+)$", (files("clawvm_es") / "CHANGELOG.md").read_text(encoding="utf-8"), re.M)
    assert (left.value.code, capsys.readouterr().out) == (0, f"clawvm, version {clawvm_es.__version__}\n")
    assert sections[:2] == ["Unreleased", PROJECT["version"]]
    assert version("clawvm-es") == clawvm_es.__version__ == PROJECT["version"]
