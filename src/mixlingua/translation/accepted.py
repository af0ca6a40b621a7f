"""The accepted translations of each language on the disk, reached by the position of their source."""

from collections.abc import Mapping
from pathlib import Path

import pyarrow as pa

from mixlingua.files import atomic_write
from mixlingua.translation.gate import Verdict

_TEXTS = pa.schema([("text", pa.string())])
_BATCH_ROWS = 2048


class Accepted:
    """Texts of one language in a memory-mapped file; null where a text was rejected or not needed."""

    def __init__(self, file: Path) -> None:
        self._batches = pa.ipc.open_file(pa.memory_map(str(file)))

    @classmethod
    def write(cls, file: Path, verdicts: Mapping[int, Verdict], num_texts: int) -> "Accepted":
        """Write the accepted of `num_texts` verdicts, atomically, and open the file."""
        with (
            atomic_write(file) as partial,
            pa.OSFile(str(partial), "wb") as sink,
            pa.ipc.new_file(sink, _TEXTS) as writer,
        ):
            for start in range(0, num_texts, _BATCH_ROWS):
                positions = range(start, min(start + _BATCH_ROWS, num_texts))
                found = (verdicts.get(position) for position in positions)
                texts = [verdict.text if verdict and verdict.reason is None else None for verdict in found]
                writer.write_batch(pa.record_batch([texts], schema=_TEXTS))
        return cls(file)

    def get(self, position: int) -> str | None:
        """The translation of the text at a position."""
        batch = self._batches.get_batch(position // _BATCH_ROWS)
        text: str | None = batch.column("text")[position % _BATCH_ROWS].as_py()
        return text
