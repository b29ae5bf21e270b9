"""Packed recordings are read by their content; what unpacks beyond a bound is refused in one line."""

from __future__ import annotations

import gzip
import os
import sys
import tracemalloc
from pathlib import Path

import pytest

from clawvm_es import limits
from clawvm_es.errors import UnreadableInput
from clawvm_es.importers import detect, read, read_bytes
from clawvm_es.importers.packed import unpacked

ROW = b'{"type":"user","uuid":"u","sessionId":"s","message":{"role":"user","content":"hi"}}\n'
if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd
PACKERS = {"gzip": gzip.compress, "zstd": zstd.compress}


@pytest.mark.parametrize("kind", PACKERS)
def test_packed_files_are_read_by_content(tmp_path: Path, kind: str) -> None:
    """A packed file is the session that it packs, whatever its name, as a file and as bytes."""
    path = tmp_path / "file.txt"
    path.write_bytes(PACKERS[kind](ROW))
    assert detect(path) == "claude_code"
    assert read(path)[0].steps == read_bytes(path.read_bytes(), "f")[0].steps == read_bytes(ROW, "f")[0].steps


@pytest.mark.parametrize("kind", PACKERS)
def test_parts_that_were_packed_one_after_another(kind: str) -> None:
    """Members of gzip and frames of zstd are one file; gzip may be padded with zeros."""
    pack = PACKERS[kind]
    padding = b"\0" * 7 if kind == "gzip" else b""
    assert unpacked(pack(b"a" * 9) + pack(b"") + pack(b"b") + padding, "f") == b"aaaaaaaaab"
    assert unpacked(b"plain", "f") == b"plain" and unpacked(b"", "f") == b""


@pytest.mark.parametrize("kind", PACKERS)
def test_a_file_that_unpacks_beyond_the_ratio_is_refused(kind: str) -> None:
    """Zeros shrink a thousandfold: the file is refused by the ratio, and never held."""
    bomb = PACKERS[kind](bytes(50_000_000))
    tracemalloc.start()
    with pytest.raises(UnreadableInput, match="f: unpacks to more than 200 times its size") as caught:
        read_bytes(bomb, "f")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert "\n" not in str(caught.value) and caught.value.hint
    assert peak < 200 * len(bomb) + 4_000_000


def test_the_ratio_is_exact() -> None:
    """Two hundred times the packed size is read, one byte more is refused."""
    for size in range(1, 4_000):
        packed = gzip.compress(bytes(size), mtime=0)
        if size <= limits.UNPACKED_RATIO_MAX * len(packed):
            assert len(unpacked(packed, "f")) == size
    size = limits.UNPACKED_RATIO_MAX * 49
    stored = b"x" * size
    packed = gzip.compress(stored, mtime=0)
    within = packed + gzip.compress(b"", mtime=0) * ((size // limits.UNPACKED_RATIO_MAX - len(packed)) // 20 + 1)
    assert unpacked(within, "f") == stored


@pytest.mark.parametrize("kind", PACKERS)
def test_a_file_that_unpacks_beyond_the_bytes_is_refused(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The bound of bytes is named where it is the smaller one; a file of exactly so many bytes is read."""
    monkeypatch.setattr(limits, "UNPACKED_BYTES_MAX", 1 << 20)
    noise = os.urandom(1 << 20)
    assert unpacked(PACKERS[kind](noise), "f") == noise
    with pytest.raises(UnreadableInput, match="f: unpacks to more than 1 MiB"):
        unpacked(PACKERS[kind](noise + b"x"), "f")


@pytest.mark.parametrize("kind", PACKERS)
def test_damaged_files_are_refused(kind: str) -> None:
    """A packed file that ends early or has other bytes in it is refused in one line."""
    packed = PACKERS[kind](os.urandom(5_000))
    for damaged in (packed[:-9], packed[:30], packed[:8] + b"\xff" * 40 + packed[48:]):
        with pytest.raises(UnreadableInput, match=f"f: is a damaged {kind} file") as caught:
            unpacked(damaged, "f")
        assert "\n" not in str(caught.value)


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the package that reads zstd, the extra that installs it is named."""
    for module in ("compression.zstd", "backports.zstd"):
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(UnreadableInput, match="f: is packed by zstd") as caught:
        read_bytes(PACKERS["zstd"](ROW), "f")
    assert "clawvm-es[zstd]" in str(caught.value.hint)


def test_a_packed_file_inside_a_packed_file_is_no_recording() -> None:
    """One packing is undone: bounds would not hold for two."""
    with pytest.raises(UnreadableInput, match="binary"):
        read_bytes(gzip.compress(gzip.compress(ROW)), "f")
