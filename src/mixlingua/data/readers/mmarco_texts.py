"""The texts that pairs need, filtered from large parquet files into memory-mapped parts."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from mixlingua.errors import DataError
from mixlingua.files import atomic_write

_SCHEMA = pa.schema([("id", pa.int64()), ("text", pa.string())])
_BATCH_ROWS = 1 << 15


def filtered_part(source: Path, part: Path, wanted: np.ndarray) -> None:
    """Write the rows of a parquet file (columns id, text) whose id is in `wanted` to an Arrow file, atomically.

    Raises DataError where the file is damaged or has other columns.
    """
    with atomic_write(part) as partial, pa.OSFile(str(partial), "wb") as sink, pa.ipc.new_file(sink, _SCHEMA) as writer:
        try:
            for batch in pq.ParquetFile(source).iter_batches(batch_size=_BATCH_ROWS, columns=["id", "text"]):
                found = batch.filter(pa.array(np.isin(batch.column("id").to_numpy(), wanted))).cast(_SCHEMA)
                if found.num_rows:
                    writer.write_batch(found)
        except (pa.ArrowInvalid, KeyError, ValueError) as error:
            raise DataError(
                f"{source}: not a parquet file with columns id and text ({error}). Fetch it again."
            ) from error


class TextLookup:
    """Texts by id over several parts, read from the memory-mapped files as they are asked for."""

    def __init__(self, parts: Sequence[Path]) -> None:
        tables = [pa.ipc.open_file(pa.memory_map(str(part))).read_all() for part in parts]
        table = pa.concat_tables(tables)
        ids = table.column("id").to_numpy()
        self._order = np.argsort(ids, kind="stable")
        self._ids = ids[self._order]
        self._chunks = table.column("text").chunks
        self._starts = np.cumsum([0, *map(len, self._chunks)])

    def get(self, number: int) -> str | None:
        """The text with this id; None where there is none or it is blank."""
        position = int(np.searchsorted(self._ids, number))
        if position == len(self._ids) or self._ids[position] != number:
            return None
        row = int(self._order[position])
        chunk = int(np.searchsorted(self._starts, row, side="right")) - 1
        text = self._chunks[chunk][row - self._starts[chunk]].as_py()
        return text.strip() or None if text else None
