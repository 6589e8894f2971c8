"""Frames in temporary files, for work that would not fit into memory."""

from __future__ import annotations

import mmap
import tempfile
from collections.abc import Hashable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, cast

import polars as pl

from featurestore.errors import from_os_error, quoted_os_error
from featurestore.frozen import frozen
from featurestore.tables.identity import Place, place_of

if TYPE_CHECKING:
    import pyarrow as pa

_Block = tuple[int, int]  # where it begins in a file, and how many bytes it has


@contextmanager
def temporary_table(folder: Path | None = None) -> Iterator[TemporaryTable]:
    """A `TemporaryTable` in ``folder``, by default in the system's folder for temporary files.

    Its file has no name, so the system removes it even if the process is killed.
    """
    with tempfile.TemporaryFile(dir=folder) as file:
        yield TemporaryTable(cast("BinaryIO", file))


class TemporaryTable:
    """Frames of the same columns on disk. Write all of them first; then read them, any number of times.

    Raises OSError where the disk is full.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._writer: pa.ipc.RecordBatchStreamWriter | None = None
        self.rows = 0

    def write(self, frame: pl.DataFrame) -> None:
        """Appends a frame."""
        import pyarrow as pa  # slow to import, and most commands write no temporary table

        table = frame.to_arrow()
        if self._writer is None:
            self._writer = pa.ipc.new_stream(self._file, table.schema)
        self._writer.write_table(table)
        self.rows += len(frame)

    def frames(self) -> Iterator[pl.DataFrame]:
        """The rows in the order they were written, in frames of any size."""
        import pyarrow as pa

        if not self.rows:
            return
        if self._writer is not None:
            self._writer.close()
            self._writer = None
        self._file.seek(0)
        with pa.ipc.open_stream(self._file) as reader:
            for batch in reader:
                yield cast("pl.DataFrame", pl.from_arrow(batch))


class SpilledFrames:
    """Frames in a temporary file without a name, each of which can be read by itself, any number of times.

    The file lasts as long as this object, or a frame in it. Raises StoreError where the disk refuses.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._shared: tuple[pl.DataFrame, list[Place], _Block] | None = None
        try:
            self._file = cast("BinaryIO", tempfile.TemporaryFile(dir=folder))  # noqa: SIM115  # see above
        except OSError as exc:
            raise from_os_error(exc) from exc

    def write(self, frame: pl.DataFrame, *, shared: Sequence[str] = ()) -> SpilledFrame:
        """Writes a frame. The columns ``shared``, which come first, are written once for frames that follow each other
        and have the very same ones in memory.
        """
        if not shared:
            return SpilledFrame(self, (self._write(frame),), frame.height)
        common = frame.select(shared)
        places = [place_of(column) for column in common]
        if self._shared is None or self._shared[0].schema != common.schema or self._shared[1] != places:
            # With the columns, so that no others come to lie at their places.
            self._shared = common, places, self._write(common)
        return SpilledFrame(self, (self._shared[2], self._write(frame.drop(shared))), frame.height)

    def forget(self) -> None:
        """Lets go of what the next frame might share."""
        self._shared = None

    def _write(self, frame: pl.DataFrame) -> _Block:
        try:
            start = -(-self._file.tell() // mmap.ALLOCATIONGRANULARITY) * mmap.ALLOCATIONGRANULARITY
            self._file.seek(start)
            frame.write_ipc(self._file, compression="uncompressed")
            self._file.flush()
            return start, self._file.tell() - start
        except (OSError, pl.exceptions.PolarsError) as exc:
            refused = exc if isinstance(exc, OSError) else quoted_os_error(str(exc))
            if refused is None:
                raise
            raise from_os_error(refused) from exc

    def read(self, start: int, size: int) -> pl.DataFrame:
        import pyarrow as pa

        try:
            # The columns go on lying in the file: nothing is copied.
            held = mmap.mmap(self._file.fileno(), size, prot=mmap.PROT_READ, offset=start)
        except OSError as exc:
            raise from_os_error(exc) from exc
        try:
            table = pa.ipc.open_file(pa.py_buffer(held)).read_all()
        except pa.ArrowNotImplementedError:  # integers of 128 bits
            return pl.read_ipc(BytesIO(held[:]))
        return cast("pl.DataFrame", pl.from_arrow(table))


@frozen
class SpilledFrame:
    """A frame of so many rows on disk; its columns lie in one block or in two."""

    spilled: SpilledFrames
    blocks: tuple[_Block, ...]
    height: int

    @property
    def common(self) -> Hashable:
        """The same for frames that share columns; None where this one shares none."""
        return (id(self.spilled), self.blocks[0]) if len(self.blocks) > 1 else None

    def read(self) -> pl.DataFrame:
        first, *others = (self.spilled.read(*block) for block in self.blocks)
        return first.hstack([column for each in others for column in each]) if others else first


class SpillingColumn:
    """A column that comes in parts, and is iterated any number of times: in memory as long as it takes no more than
    ``most`` bytes (None: whatever it takes), then in a temporary file.

    The file is in the system's folder for temporary files. Raises StoreError where the disk refuses.
    """

    def __init__(self, most: int | None = None) -> None:
        self._most = most
        self._held: list[pl.Series] = []
        self._size: float = 0
        self._spilled: list[SpilledFrame] = []
        self._file: SpilledFrames | None = None

    def add(self, part: pl.Series) -> None:
        self._held.append(part)
        self._size += part.estimated_size()
        if self._most is not None and self._size > self._most:
            self._file = self._file or SpilledFrames()
            self._spilled += [self._file.write(each.to_frame()) for each in self._held]
            self._held.clear()

    @property
    def held(self) -> int:
        """How many bytes it takes in memory."""
        return sum(int(each.estimated_size()) for each in self._held)

    def __iter__(self) -> Iterator[pl.Series]:
        yield from (part.read().to_series() for part in self._spilled)
        yield from self._held


class Partitioner:
    """Splits frames by their column ``key``: equal keys go to the same partition, whichever frame they are in.

    The first partition is returned at once; the others are written to temporary tables. Raises OSError as
    `TemporaryTable` does.
    """

    def __init__(self, others: Sequence[TemporaryTable]) -> None:
        self._others = others

    def split(self, frame: pl.DataFrame) -> pl.DataFrame:
        """Writes the rows of the other partitions to their tables and returns those of the first."""
        if not self._others:
            return frame
        number = frame["key"].hash() % (len(self._others) + 1)
        for at, table in enumerate(self._others, start=1):
            table.write(frame.filter(number == at))
        # Going through Arrow copies the bytes of the remaining rows. Otherwise they would keep the whole frame's alive.
        return cast("pl.DataFrame", pl.from_arrow(frame.filter(number == 0).to_arrow()))


@contextmanager
def partitioner(count: int) -> Iterator[tuple[Partitioner, list[TemporaryTable]]]:
    """A `Partitioner` into ``count`` partitions, and the tables of all but the first."""
    with ExitStack() as stack:
        tables = [stack.enter_context(temporary_table()) for _ in range(count - 1)]
        yield Partitioner(tables), tables
