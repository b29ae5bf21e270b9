"""The tree that is tested: its files, its digests, and copies of it, so that no mutation touches the original."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path

_LEFT_OUT = (".git", ".hypothesis", ".mutate", ".mypy_cache", ".pytest_cache", ".ruff_cache", ".venv", "__pycache__")


def files_of(root: Path) -> list[Path]:
    """The files of a working tree, without what is built or cached, in order."""
    command = ["git", "-C", str(root), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    try:
        listed = subprocess.run(command, capture_output=True, check=True).stdout.decode().split("\0")
        names = (Path(name) for name in listed if name)
    except (OSError, subprocess.CalledProcessError):  # an unpacked archive
        names = (path.relative_to(root) for path in root.rglob("*") if not set(path.parts) & set(_LEFT_OUT))
    return sorted(name for name in set(names) if (root / name).is_file())


def digest(root: Path, names: Iterable[Path]) -> str:
    """What names the content of these files."""
    found = hashlib.sha256()
    for name in names:
        content = (root / name).read_bytes()
        found.update(f"{name}\0{len(content)}\0".encode() + content)
    return found.hexdigest()[:32]


def copy_to(root: Path, names: Iterable[Path], folder: Path) -> Path:
    """Copy files into `folder`/tree, with their times, and return that place."""
    place = folder / "tree"
    for name in names:
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(root / name, place / name)
    return place
