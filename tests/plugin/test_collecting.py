"""Recorded sessions are collected as tests: which files, under which ids, in which surroundings."""

from __future__ import annotations

import shutil
import subprocess
import sys

import pytest

from clawvm_es.cli.main import main
from clawvm_es.history.recorded_files import SUFFIXES
from clawvm_es.pytest_plugin import SUFFIXES as PLUGIN_SUFFIXES
from tests.plugin.conftest import INSTALLED


def bundle(journal, path, *session_ids):
    """A bundle of some sessions of the journal."""
    chosen = [part for session_id in session_ids for part in ("-s", session_id)]
    with pytest.raises(SystemExit) as left:
        main(["bundle", str(journal), *chosen, "--key", str(journal.parent / "k"), "-o", str(path)])
    assert left.value.code == 0
    return path


def test_a_recording_is_a_test_that_passes(project):
    """A file in the tests' folder is all that it takes."""
    project.recording()
    result = project.run("-v")
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["run-1.clawvm.jsonl::run-1 PASSED*"])


def test_a_bundle_is_one_test_a_session(project):
    """Each session of a bundle is a test of its own, and can be chosen by its id."""
    bundle(project.journal, project.folder / "two.clawvm.bundle", "run-1", "run-2")
    project.run().assert_outcomes(passed=2)
    project.run("two.clawvm.bundle::run-2").assert_outcomes(passed=1)
    project.run("-k", "run-1").assert_outcomes(passed=1, deselected=1)


def test_more_files_are_named_in_the_settings(project):
    """`clawvm_files` takes globs; what no glob and no suffix names is left alone."""
    project.recording("golden.jsonl")
    (project.folder / "deep").mkdir()
    project.recording("deep/other.jsonl")
    (project.folder / "notes.jsonl").write_text("{}\n")
    project.run().assert_outcomes()
    project.pytester.makeini("[pytest]\nclawvm_files = golden.* deep/*.jsonl\n")
    project.run("-v").assert_outcomes(passed=2)


def test_strict_settings_and_importlib_mode(project):
    """The marker and the option are declared; nothing is imported by the name of a file."""
    project.recording()
    project.pytester.makeini("[pytest]\nclawvm_files = *.session\naddopts = --strict-markers --strict-config\n")
    project.pytester.makepyfile(
        "import pytest\n@pytest.mark.clawvm('run-1.clawvm.jsonl')\n"
        "def test(clawvm_session): assert clawvm_session.rows\n"
    )
    project.run("--import-mode=importlib").assert_outcomes(passed=2)


def test_beside_xdist(project):
    """Workers collect the same ids, and results come back from them."""
    for name in ("a", "b", "c"):
        project.recording(f"{name}.clawvm.jsonl", "run-2")
    bundle(project.journal, project.folder / "two.clawvm.bundle", "run-1", "run-2")
    result = project.run("-n", "2", "-v", apart=True)
    result.assert_outcomes(passed=5)
    result.stdout.fnmatch_lines(["*PASSED b.clawvm.jsonl::run-2*"])


@pytest.mark.parametrize("name", ["a::b", "with [brackets]", "snow ☃", "no\u00a0break é", "50%"])
def test_odd_session_ids_have_an_id_that_finds_them(project, name):
    """An id is one line, says which session it is, and chooses it."""
    from tests.plugin.conftest import make_journal, record

    record(make_journal(project.folder / "j.db", name), name, project.folder / "odd.clawvm.jsonl")
    listed = project.run("--collect-only", "-q").outlines
    (node,) = [line for line in listed if line.startswith("odd.clawvm.jsonl::")]
    project.run(node).assert_outcomes(passed=1)


def test_nothing_is_loaded_while_there_is_nothing_to_do(project):
    """A run without recorded sessions imports none of the package but the plugin."""
    project.pytester.makepyfile(
        "import sys\ndef test(): assert {n for n in sys.modules if n.startswith('clawvm_es')} "
        "<= {'clawvm_es', 'clawvm_es.version', 'clawvm_es.pytest_plugin'}\n"
    )
    project.run(apart=True).assert_outcomes(passed=1)


def test_the_plugin_module_imports_only_pytest():
    """What pytest loads in every run costs next to nothing."""
    code = "import sys, pytest; old = set(sys.modules); import clawvm_es.pytest_plugin; print(set(sys.modules) - old)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert eval(found) <= {"clawvm_es", "clawvm_es.version", "clawvm_es.pytest_plugin"}


def test_plugin_and_package_agree_on_names():
    """The plugin's copy of the suffixes, made so that it need not import them, is a copy."""
    assert PLUGIN_SUFFIXES == SUFFIXES


@pytest.mark.skipif(not INSTALLED, reason="this installation is older than the entry point")
def test_an_installed_package_brings_the_plugin(project, monkeypatch):
    """Nothing has to be declared, and `-p no:clawvm` turns it off."""
    monkeypatch.delenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD")
    project.recording()
    project.pytester.runpytest_subprocess().assert_outcomes(passed=1)
    project.pytester.runpytest_subprocess("-p", "no:clawvm").assert_outcomes()


def test_the_entry_point_is_declared():
    """The distribution names the plugin, so that installing it is enough."""
    import tomllib
    from pathlib import Path

    declared = tomllib.loads((Path(__file__).resolve().parents[2] / "pyproject.toml").read_text(encoding="utf-8"))
    assert declared["project"]["entry-points"]["pytest11"] == {"clawvm": "clawvm_es.pytest_plugin"}


def test_a_folder_with_the_name_of_a_recording_is_walked(project):
    """Only files are collected."""
    (project.folder / "x.clawvm.jsonl").mkdir()
    shutil.move(project.recording(), project.folder / "x.clawvm.jsonl" / "y.clawvm.jsonl")
    project.run().assert_outcomes(passed=1)
