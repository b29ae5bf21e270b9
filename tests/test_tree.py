"""The tool that prints the tree: the ladder with its imports, circles, and sizes."""

import ast
from pathlib import Path

from tests.test_ladder import LADDER
from tools import tree


def test_the_tree_is_printed_and_has_no_circle(capsys):
    """Every part has its line with what it imports; sizes stand beside those of a package that is asked for."""
    assert tree.main(["--beside", "structlog", "no_such_package"]) == 0
    lines = capsys.readouterr().out.splitlines()
    parts = {line.split()[0]: line.split()[3:] for line in lines[1 : 1 + sum(map(len, LADDER))]}
    assert list(parts) == [part for rung in LADDER for part in rung]
    assert parts["errors"] == ["-"] and {"errors", "limits", "model"} == set(parts["core"])
    assert "no import goes up or sideways" in lines and "no modules import each other in a circle" in lines
    assert [line.split()[0] for line in lines[-3:-1]] == ["clawvm_es", "structlog"]
    assert lines[-1] == "not installed: no_such_package"


def test_a_circle_is_found(monkeypatch):
    """Modules that import each other at their top are one; an import inside a function is none."""
    texts = {"a.py": "from clawvm_es import b", "b.py": "import clawvm_es.a"}
    monkeypatch.setattr(tree, "MODULES", [Path(name) for name in texts])
    monkeypatch.setattr(tree, "parse", lambda module: ast.parse(texts[module.name]))
    assert set(tree.circle()) == {"clawvm_es.a", "clawvm_es.b"}
    texts["b.py"] = "def late():\n    import clawvm_es.a"
    assert tree.circle() == []


def test_sizes_are_lines_without_docstrings(tmp_path):
    """A function's docstring is not counted, its signature is; the p90 is one of the numbers."""
    (tmp_path / "m.py").write_text('def f():\n    """Do.\n\n    More.\n    """\n    return 1\n')
    assert tree.sizes(tmp_path) == ([6], [2])
    assert [tree.at(permille, range(1, 11)) for permille in (500, 900)] == [6, 10]
