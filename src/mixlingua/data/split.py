"""Which rows are held out of training: whole groups of rows that share a text, a passage or a document.

A row belongs with every row that has its split key, its passage_id, one of its `touches`, or the same query or passage
in any language (`rows.normalised`), and with whatever belongs with those: groups are the connected components. The
rows and their keys lie on disk until all are read; what grows in memory is 12 bytes a row and 8 for each link between
two rows.
"""

import json
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import fields
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Self

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from mixlingua.data.rows import PairRow, id_key, query_key, text_key, unit_interval

_FIELDS = tuple(field.name for field in fields(PairRow))
_BUCKETS = 64
_ROWS_AT_ONCE = 4096


class Split:
    """Collects rows, in a temporary folder under `folder`, and gives them back with the side that each falls on.

    A context manager, which removes its files.
    """

    def __init__(self, folder: Path) -> None:
        self._exit = ExitStack()
        temporary = Path(self._exit.enter_context(TemporaryDirectory(dir=folder, prefix=".split.")))
        self._rows = self._exit.enter_context((temporary / "rows.jsonl").open("w+", encoding="utf-8"))
        self._files = [temporary / str(bucket) for bucket in range(_BUCKETS)]
        self._open = [self._exit.enter_context(file.open("wb")) for file in self._files]
        self._pending: list[tuple[int, int]] = []
        self._draws: list[NDArray[np.float64]] = []
        self._pending_draws: list[float] = []
        self.num_rows = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._exit.close()

    def add(self, row: PairRow) -> None:
        """Append a row."""
        self._rows.write(json.dumps([getattr(row, name) for name in _FIELDS]) + "\n")
        keys = {id_key(name) for name in (row.passage_id, *row.touches)}
        keys.add(id_key(f"split: {row.split_key or row.passage_id}"))
        keys.update(map(text_key, row.passages.values()))
        keys.update(map(query_key, row.queries.values()))
        self._pending += [(key, self.num_rows) for key in keys]
        self._pending_draws.append(unit_interval(row.split_key or row.passage_id))
        self.num_rows += 1
        if len(self._pending_draws) == _ROWS_AT_ONCE:
            self._flush()

    def rows(self, fraction: float) -> Iterator[tuple[PairRow, bool]]:
        """The rows in order, and whether each is held out, as `held_out` says."""
        held_out = self.held_out(fraction)
        self._rows.seek(0)
        for line, chosen in zip(self._rows, held_out.tolist(), strict=True):
            values = dict(zip(_FIELDS, json.loads(line), strict=True))
            yield PairRow(**values | {"touches": tuple(values["touches"])}), chosen

    def held_out(self, fraction: float) -> NDArray[np.bool_]:
        """(num_rows,) whether each row is held out; so many are expected as the fraction says.

        The first row of a group decides for it, by a hash of its split key or passage_id: rows that share nothing are
        split as if each were alone, and further rows at the end of a source change no group but their own. A group that
        texts hold together and that has more rows than the fraction asks for is trained on.
        """
        self._flush()
        for file in self._open:
            file.close()
        draws = np.concatenate(self._draws) if self._draws else np.empty(0)
        pairs = np.concatenate([_links(file) for file in self._files])
        graph = coo_array((np.ones(len(pairs), np.bool_), pairs.T), (self.num_rows, self.num_rows))
        _, labels = connected_components(graph, directed=False)
        _, first, sizes = np.unique(labels, return_index=True, return_counts=True)
        lowest, highest = np.ones(len(first)), np.zeros(len(first))
        np.minimum.at(lowest, labels, draws)
        np.maximum.at(highest, labels, draws)
        too_large = (lowest < highest) & (sizes > fraction * self.num_rows)
        chosen: NDArray[np.bool_] = ((draws[first] < fraction) & ~too_large)[labels]
        return chosen

    def _flush(self) -> None:
        entries = np.array(self._pending, np.int64).reshape(-1, 2)
        buckets = entries[:, 0] % _BUCKETS
        for bucket, file in enumerate(self._open):
            file.write(entries[buckets == bucket].tobytes())
        self._draws.append(np.array(self._pending_draws))
        self._pending, self._pending_draws = [], []


def _links(file: Path) -> NDArray[np.int32]:
    """(M, 2) pairs of rows with a key in common, enough to connect all that have it. file: (key, row) pairs."""
    entries = np.fromfile(file, np.int64).reshape(-1, 2)
    entries = entries[np.argsort(entries[:, 0], kind="stable")]
    same = entries[1:, 0] == entries[:-1, 0]
    return np.column_stack([entries[:-1, 1][same], entries[1:, 1][same]]).astype(np.int32)
