"""The parallel store, and how it is read: the same pairs in several languages, memory-mapped, reached by row number.

A folder holds store.json, keys.npy, known.npy, several.npy, coverage.npy (unless every row has every language),
ids.arrow (columns of `IDS`) and, per language, a file such as de.arrow (columns of `TEXTS`, null where the row lacks
the language); where rows have negatives, also passages.npy and answers.npy. The Arrow files have record batches of
`batch_rows` rows, so that row -> (batch, offset) is arithmetic. `data/build.py` makes stores.
"""

import json
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np
import pyarrow as pa

from mixlingua.data.rows import Side, text_key
from mixlingua.errors import DataError
from mixlingua.files import content_hash
from mixlingua.sampling.rows import conflict_rate, count_rows, held_languages

FORMAT_VERSION = 7
_MAX_ANSWERS = 64
SIDES: tuple[Side, Side] = ("query", "passage")
# query_key, passage_key: of the texts, as `rows` makes them.
TEXTS = pa.schema(
    [
        *(("query", pa.string()), ("passage", pa.string()), ("negatives", pa.list_(pa.string()))),
        *(("scores", pa.list_(pa.float32())), ("query_key", pa.int64()), ("passage_key", pa.int64())),
    ]
)
# unit_key, draw: of what the row is held out with, its key and a number in [0, 1).
IDS = pa.schema([("id", pa.string()), ("split_key", pa.string()), ("unit_key", pa.int64()), ("draw", pa.float64())])


class ParallelStore:
    """Pairs by row number, read from memory-mapped files as they are asked for. A source of a batch plan.

    Attributes: path; name; num_rows; languages, sorted ISO 639-1 codes; rows_per_language; fingerprint, equal for equal
    content; conflict_rate, an upper bound of the probability that two different random rows share a key (exact where
    rows share at most one); min_negatives, the least number of negatives that a row has in any of its languages;
    is_translations, whether every row's query is its passage; has_scores, whether a row has scores of a teacher.
    coverage: (num_rows,) uint64, bit i set where the row has languages[i]; None where every row has every language.
    keys: (num_rows, K) int64; rows that share a key never belong in one batch. They are those of `row_keys`; a row with
    fewer repeats its first.
    known: (num_rows, 2) int64; rows that share the first number ask the same in some language, rows that share the
    second have the same passage in some language (`groups.same_texts`). They may meet in a batch.
    """

    def __init__(self, path: str | Path, rows: np.ndarray | None = None, name: str | None = None) -> None:
        """Open the store at `path`. Raises DataError where it is missing, damaged or of another format version.

        rows: (M,) int64, all different, the rows of the files that the store consists of; None: all. Keys and coverage
        of such a subset are in memory; its min_negatives is that of all rows, and a language that it lacks is listed.
        name: of such a subset; None: that of the store.
        """
        self.path = Path(path)
        metadata = _read_metadata(self.path)
        self.name: str = name or metadata["name"]
        self.num_rows: int = metadata["num_rows"]
        self.languages: tuple[str, ...] = tuple(metadata["languages"])
        self.rows_per_language: dict[str, int] = metadata["rows_per_language"]
        self.conflict_rate: float = metadata["conflict_rate"]
        self.min_negatives: int = metadata["min_negatives"]
        self.is_translations: bool = metadata["is_translations"]
        self.has_scores: bool = metadata["has_scores"]
        self.fingerprint: str = metadata["fingerprint"]
        self._batch_rows: int = metadata["batch_rows"]
        self._files: dict[str, pa.RecordBatchFileReader] = {}
        self._rows = rows
        if rows is not None:
            self.num_rows = len(rows)
            self.fingerprint = content_hash(self.fingerprint, np.asarray(rows, np.int64).tobytes())
            counts = count_rows(self, [((language,), 1) for language in self.languages])
            self.rows_per_language = dict(zip(self.languages, counts, strict=True))
            self.conflict_rate = conflict_rate(self.keys)

    def subset(self, rows: np.ndarray, name: str | None = None) -> Self:
        """A store of these rows: its row i is this store's rows[i]. Raises IndexError for rows that do not exist."""
        return type(self)(self.path, rows if self._rows is None else self._rows[rows], name or self.name)

    def __reduce__(self) -> tuple[Callable[..., Self], tuple[Path, np.ndarray | None, str]]:
        return type(self), (self.path, self._rows, self.name)

    @cached_property
    def keys(self) -> np.ndarray:
        return self._of_rows(self._all_keys)

    @cached_property
    def _all_keys(self) -> np.ndarray:
        """Those of all rows of the files."""
        return np.load(self.path / "keys.npy", mmap_mode="r")

    @cached_property
    def known(self) -> np.ndarray:
        return self._of_rows(np.load(self.path / "known.npy", mmap_mode="r"))

    @cached_property
    def coverage(self) -> np.ndarray | None:
        file = self.path / "coverage.npy"
        return self._of_rows(np.load(file, mmap_mode="r")) if file.exists() else None

    def holds(self, rows: np.ndarray, language: str) -> np.ndarray:
        """(N,) bool, whether each of the rows has the language."""
        if language not in self.languages:
            return np.zeros(len(rows), bool)
        return held_languages(self, rows, [language])[:, 0]

    def texts(self, rows: Sequence[int], side: Side, languages: Sequence[str]) -> list[str]:
        """The query or passage of rows[i] in languages[i]. Raises DataError for a row that lacks its language."""
        return self._values(rows, side, languages)

    def negatives(self, rows: Sequence[int], languages: Sequence[str]) -> list[list[str]]:
        """The negatives of rows[i] in languages[i], an empty list where there are none."""
        return self._values(rows, "negatives", languages)

    def scores(self, rows: Sequence[int], languages: Sequence[str]) -> list[list[float]]:
        """The scores of the passage and the negatives of rows[i] in languages[i]; empty where there are none."""
        return self._values(rows, "scores", languages)

    def further_answers(self, rows: np.ndarray, batch_rows: np.ndarray, *, with_negatives: bool) -> np.ndarray:
        """(N, M) what is `known` of passages that answer the question of rows[i] in other rows, filled up with its own.

        M is the same for all parts of a batch. batch_rows: of the whole batch; only answers among its passages count.
        with_negatives: any answer may be there as a negative, so all count, of a question with no more than 64.
        """
        questions, passages = self._several.T
        asked, own = np.asarray(self.known[batch_rows]).T
        starts, ends = (np.searchsorted(questions, asked, side) for side in ("left", "right"))
        answers: dict[int, list[int]] = {}
        for place in np.flatnonzero(ends > starts):
            found = passages[starts[place] : ends[place]]
            among_all = with_negatives and len(found) <= _MAX_ANSWERS
            answers[int(asked[place])] = (found if among_all else found[np.isin(found, own)]).tolist()
        columns = max((len(listed) - 1 for listed in answers.values()), default=0)
        filled = np.repeat(self.known[rows, 1:], columns, axis=1)
        for row, (question, passage) in enumerate(self.known[rows].tolist() if columns else ()):
            further = [answer for answer in answers.get(question, ()) if answer != passage]
            filled[row, : len(further)] = further
        return filled

    @cached_property
    def _several(self) -> np.ndarray:
        return np.load(self.path / "several.npy", mmap_mode="r")

    def negative_keys(self, rows: np.ndarray, texts: Sequence[str]) -> np.ndarray:
        """(N, K + 2) the keys of texts that are negatives of rows[i]: `keys` of a row that has the text as its passage,
        then what is `known` of it, a question that it answers, and its passage.

        The question is the row's own where one of the rows that ask it has the text as its passage. Keys that rows[i]
        has too are left out: what the source gives as a negative is one, whatever else they share, and no other row
        with such a key is in the batch. Where no row has the text, all numbers are its key.
        """
        keys = np.array([text_key(text) for text in texts], np.int64)
        passages, answers = self._passages
        places = np.searchsorted(passages[:, 0], keys).clip(max=len(passages) - 1)
        found = passages[places, 0] == keys
        passage = np.where(found, passages[places, 1], keys)
        own = np.asarray(self.known[rows, 0])
        asked = paired(own, passage)
        answers_own = answers[np.searchsorted(answers, asked).clip(max=len(answers) - 1)] == asked
        question = np.where(answers_own, own, np.where(found, passages[places, 2], keys))
        of_passage = self._all_keys[passages[places, 3]]
        shared = (of_passage[:, :, None] == self.keys[rows][:, None, :]).any(axis=2)
        of_passage = np.where(shared | ~found[:, None], passage[:, None], of_passage)
        return np.column_stack([of_passage, question, passage])

    @cached_property
    def _passages(self) -> tuple[np.ndarray, np.ndarray]:
        passages, answers = (np.load(self.path / f"{name}.npy", mmap_mode="r") for name in ("passages", "answers"))
        return passages, answers

    def ids(self, rows: Sequence[int]) -> list[str]:
        """The ids that the source gave to these rows."""
        return [self._value("ids", "id", int(row)) for row in rows]

    def split_keys(self, rows: Sequence[int]) -> list[str]:
        """What these rows are held out with, such as their documents; empty where the source did not say."""
        return [self._value("ids", "split_key", int(row)) for row in rows]

    def text_keys(self, side: Side, language: str) -> tuple[np.ndarray, np.ndarray]:
        """The keys of all queries or passages of a language, (M,) int64, and their rows, (M,), ascending."""
        rows = np.flatnonzero(self.holds(np.arange(self.num_rows), language))
        keys = self._of_rows(self._column(language, f"{side}_key").fill_null(0).to_numpy())
        return keys[rows], rows

    @property
    def unit_keys(self) -> np.ndarray:
        """(num_rows,) int64: rows that share one are held out together."""
        return self._of_rows(self._column("ids", "unit_key").to_numpy())

    @property
    def draws(self) -> np.ndarray:
        """(num_rows,) numbers in [0, 1) that depend on what the row is held out with alone."""
        return self._of_rows(self._column("ids", "draw").to_numpy())

    def _values(self, rows: Sequence[int], column: str, languages: Sequence[str]) -> list[Any]:
        values = []
        for row, language in zip(map(int, rows), languages, strict=True):
            if language not in self.languages:
                raise DataError(f"store '{self.name}': no language '{language}'; it has {', '.join(self.languages)}.")
            value = self._value(language, column, row)
            if value is None:
                raise DataError(f"store '{self.name}': row {row} ({self.ids([row])[0]}) has no text in '{language}'.")
            values.append(value)
        return values

    def _value(self, file: str, column: str, row: int) -> Any:
        if not 0 <= row < self.num_rows:
            raise IndexError(f"row {row} of store '{self.name}', which has {self.num_rows} rows")
        if self._rows is not None:
            row = int(self._rows[row])
        batch, offset = divmod(row, self._batch_rows)
        return self._file(file).get_batch(batch).column(column)[offset].as_py()

    def _column(self, file: str, column: str) -> pa.ChunkedArray:
        opened = self._file(file)
        return pa.chunked_array(
            [opened.get_batch(number).column(column) for number in range(opened.num_record_batches)]
        )

    def _file(self, name: str) -> pa.RecordBatchFileReader:
        if name not in self._files:
            self._files[name] = pa.ipc.open_file(pa.memory_map(str(self.path / f"{name}.arrow")))
        return self._files[name]

    def _of_rows(self, values: np.ndarray) -> np.ndarray:
        return values if self._rows is None else values[self._rows]


def paired(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """(N,) int64, a number for each pair of (N,) int64 numbers."""
    return left * np.int64(-7046029254386353131) ^ right


def _read_metadata(path: Path) -> dict[str, Any]:
    """What store.json says, once the files are known to be whole."""
    file = path / "store.json"
    if not file.is_file():
        raise DataError(f"{path}: not a parallel store (no store.json). Build it from its source.")
    try:
        metadata: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        version, sizes = metadata["format"], metadata["files"]
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{file}: damaged ({error}). Delete {path} to build the store again.") from error
    if version != FORMAT_VERSION:
        raise DataError(
            f"{file}: store format {version}, this version of mixlingua reads format {FORMAT_VERSION}. "
            f"Delete {path} to build the store again."
        )
    for name, size in sizes.items():
        if not (path / name).is_file() or (path / name).stat().st_size != size:
            raise DataError(f"{path / name}: missing or cut short. Delete {path} to build the store again.")
    return metadata
