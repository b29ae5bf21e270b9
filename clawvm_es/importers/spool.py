"""Steps of a long recording in a temporary file, so that memory does not grow with the recording.

LAW-SPOOL-1: spooled steps are the same, in the same order, every time they are read.
"""

from __future__ import annotations

import pickle
import tempfile
from collections.abc import Iterator, Sequence
from typing import IO, TYPE_CHECKING, overload

import attrs

if TYPE_CHECKING:
    from clawvm_es.observe.steps import Step


@attrs.define
class Spool:
    """A temporary file without a name, readable by its owner only, which ends with the process."""

    _file: IO[bytes] | None = None
    _end: int = 0

    def put(self, steps: Sequence[Step]) -> Piece:
        """Append steps to the file. Raises `OSError`, which names the folder."""
        data = pickle.dumps(list(steps), protocol=5)
        try:
            if self._file is None:
                self._file = tempfile.TemporaryFile(prefix="clawvm-", buffering=0)  # noqa: SIM115  read later
            self._file.seek(self._end)
            _write(self._file, data)
        except OSError as error:
            told = f"{error.strerror}; a long recording is put by there (TMPDIR names another folder)"
            raise OSError(error.errno, told, tempfile.gettempdir()) from error
        piece = Piece(self, self._end, len(data), len(steps))
        self._end += len(data)
        return piece

    def get(self, piece: Piece) -> list[Step]:
        """Read the steps of a piece."""
        assert self._file is not None
        self._file.seek(piece.begin)
        steps: list[Step] = pickle.loads(self._file.read(piece.size))  # what `put` wrote, nobody else can
        return steps


def _write(file: IO[bytes], data: bytes) -> None:
    left = memoryview(data)
    while left:
        left = left[file.write(left) :]


@attrs.frozen
class Piece:
    """Consecutive steps: their place in a spool, and their number."""

    spool: Spool = attrs.field(repr=False)
    begin: int
    size: int
    count: int


@attrs.frozen
class Spooled(Sequence["Step"]):
    """The steps of a recording: pieces of a spool, then steps in memory. One piece is in memory at a time."""

    pieces: tuple[Piece, ...]
    rest: tuple[Step, ...]

    def __len__(self) -> int:
        return sum(piece.count for piece in self.pieces) + len(self.rest)

    def __iter__(self) -> Iterator[Step]:
        for piece in self.pieces:
            yield from piece.spool.get(piece)
        yield from self.rest

    @overload
    def __getitem__(self, index: int) -> Step: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Step]: ...
    def __getitem__(self, index: int | slice) -> Step | Sequence[Step]:
        if isinstance(index, slice):
            return tuple(self)[index]
        place = range(len(self))[index]
        for piece in self.pieces:
            if place < piece.count:
                return piece.spool.get(piece)[place]
            place -= piece.count
        return self.rest[place]
