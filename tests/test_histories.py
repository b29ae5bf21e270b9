"""`tools/histories.py`: parts of generated histories, gone on from where a run ended; a broken law is found again."""

from __future__ import annotations

import importlib.util
import json

import pytest

from tests.conftest import ROOT


@pytest.fixture(scope="module")
def tool():
    """The tool, which is a script and in no package."""
    spec = importlib.util.spec_from_file_location("histories_tool", ROOT / "tools" / "histories.py")
    module = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patched:
        patched.syspath_prepend(str(ROOT / "tools"))  # as where the script is run
        spec.loader.exec_module(module)
    return module


def test_a_run_goes_on_where_it_ended(tool, tmp_path, capsys):
    """Parts that are done are not played again, and all histories are counted."""
    state = tmp_path / "state.json"
    assert tool.main(["--parts", "0:1", "--size", "3", "--state", str(state)]) == 0
    assert json.loads(state.read_text()) == {"next": 1, "held": 3}
    assert tool.main(["--parts", "0:2", "--size", "3", "--state", str(state)]) == 0
    assert json.loads(state.read_text()) == {"next": 2, "held": 6}
    first, second = capsys.readouterr().out.splitlines()
    assert first.startswith("3 histories hold, 1 of 1 parts, ") and second.startswith("6 histories hold, 2 of 2")


def test_a_range_that_is_none_is_named(tool, capsys):
    """One line of argparse, for a word and for a range without an end, an order or numbers."""
    for text in ("7", "9:7", "a:b", "3:3"):
        with pytest.raises(SystemExit):
            tool.main(["--parts", text])
        assert f"{text!r} is no range; expected FIRST:END" in capsys.readouterr().err


def test_a_broken_law_is_printed_with_its_command(tool, monkeypatch, tmp_path, capsys):
    """The failure is shown, the command finds it again, and the part is not counted as held."""

    def breaks(history):
        assert history.shape is None, "LAW-X"

    monkeypatch.setattr(tool, "assert_laws", breaks)
    assert tool.main(["--parts", "7:9", "--size", "3", "--state", str(tmp_path / "state.json")]) == 1
    told = capsys.readouterr().out
    assert "LAW-X" in told and "part 7 fails: python tools/histories.py --parts 7:8 --size 3" in told
    assert not (tmp_path / "state.json").exists()


@pytest.mark.sweep(sample=0)
@pytest.mark.parametrize("part", range(100))
def test_ten_thousand_histories_hold(tool, part):
    """LAW-MSG-1 to 4, the budget, EPOCH-1 in bytes and replay over ten thousand histories of up to thirty moves."""
    assert tool.play(part, 100) == 100
