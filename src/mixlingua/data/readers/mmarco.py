"""mMARCO: MS MARCO in 14 languages, from the Hugging Face hub or a local folder.

Source: Bonifacio et al. 2021, arXiv 2108.13897; huggingface.co/datasets/unicamp-dl/mmarco.
"""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from mixlingua.data.rows import PairRow
from mixlingua.errors import ConfigError, DataError, suggest
from mixlingua.files import atomic_write, cache_dir, content_hash, read_lines

logger = logging.getLogger(__name__)

REPOSITORY = "unicamp-dl/mmarco"
TRIPLES = "data/triples.train.ids.small.tsv"  # query, relevant and irrelevant passage; the same for all languages
_FOOTER_BYTES = 1 << 16


class MmarcoFiles(Protocol):
    """Files by their name in the data set's repository."""

    def parquet(self, folder: str) -> list[str]:
        """The names of the parquet files under a folder, sorted."""
        ...

    def fetch(self, name: str) -> Path:
        """A local path of a file. Raises DataError where it cannot be had."""
        ...

    def identity(self, languages: list[str]) -> list[str]:
        """What tells these files from others."""
        ...


def collection(files: MmarcoFiles, language: str) -> list[str]:
    """The files with the passages in a language (its English name), of columns id and text."""
    names = files.parquet(f"collection-{language}")
    if any("partial" in name for name in names):
        logger.warning(
            "mmarco: %s holds only part of the %s collection; pairs outside it lack the language", files, language
        )
    return names


def train_queries(files: MmarcoFiles, language: str) -> list[str]:
    """The files with the training queries in a language (its English name), of columns id and text."""
    folder = f"queries-{language}"
    return [name for name in files.parquet(folder) if "train" in name.removeprefix(folder)]


class FolderFiles:
    """A folder with `collection-german/`, `queries-german/` and so on, and the triples."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __str__(self) -> str:
        return str(self._folder)

    def parquet(self, folder: str) -> list[str]:
        names = sorted(file.relative_to(self._folder).as_posix() for file in (self._folder / folder).rglob("*.parquet"))
        if not names:
            raise DataError(f"{self._folder / folder}: no parquet files. {_layout(self._folder)}")
        return names

    def fetch(self, name: str) -> Path:
        if not (self._folder / name).is_file():
            raise DataError(f"{self._folder / name}: no such file. {_layout(self._folder)}")
        return self._folder / name

    def identity(self, languages: list[str]) -> list[str]:
        names = [
            name for language in languages for name in [*train_queries(self, language), *collection(self, language)]
        ]
        return [content_hash(self.fetch(TRIPLES)), *(content_hash(name, self._footer(name)) for name in names)]

    def _footer(self, name: str) -> bytes:
        # A parquet file ends in the offsets, sizes and value ranges of all its parts: a few gigabytes need no hashing.
        with (self._folder / name).open("rb") as file:
            size = file.seek(0, 2)
            file.seek(max(0, size - _FOOTER_BYTES))
            return file.read() + str(size).encode()


class HubFiles:
    """The parquet revision of the hub's data set; the triples come from its main revision."""

    def __init__(self, revision: str, folder: Path) -> None:
        self._revision = revision
        self._folder = folder
        self._names: list[str] = []

    def __str__(self) -> str:
        return f"{REPOSITORY}@{self._revision}"

    def parquet(self, folder: str) -> list[str]:
        from huggingface_hub import HfApi

        if not self._names:
            with self._online("its list of files"):
                self._names = HfApi().list_repo_files(REPOSITORY, repo_type="dataset", revision=self._revision)
        names = sorted(name for name in self._names if name.startswith(f"{folder}/") and name.endswith(".parquet"))
        if not names:
            raise DataError(f"{self}: no parquet files under {folder}. {_layout(self._folder)}")
        return names

    def fetch(self, name: str) -> Path:
        from huggingface_hub import hf_hub_download

        revision = "main" if name == TRIPLES else self._revision
        with self._online(name):
            return Path(hf_hub_download(REPOSITORY, name, repo_type="dataset", revision=revision))

    def identity(self, languages: list[str]) -> list[str]:
        return [REPOSITORY, self._revision]

    @contextmanager
    def _online(self, what: str) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # the hub's client raises its own errors, those of its HTTP library and OSErrors
            raise DataError(
                f"cannot fetch {what} of {self} ({type(error).__name__}: {error}). What is finished is kept; to go on: "
                "run again where there is a network; or set HF_ENDPOINT to a mirror, or HTTPS_PROXY; "
                f"or bring the files to {self._folder}; or choose other data, such as data=ntrex. "
                f"{_layout(self._folder)}"
            ) from error


def _layout(folder: Path) -> str:
    return (
        f"A local {folder} holds {TRIPLES} and, for each language, collection-german/*.parquet and "
        f"queries-german/train/*.parquet (columns id and text), as in {REPOSITORY} at refs/convert/parquet."
    )


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


VERSION = "1"
LANGUAGES = {
    "ar": "arabic", "de": "german", "en": "english", "es": "spanish", "fr": "french", "hi": "hindi", "id": "indonesian",
    "it": "italian", "ja": "japanese", "nl": "dutch", "pt": "portuguese", "ru": "russian", "vi": "vietnamese",
    "zh": "chinese",
}  # fmt: skip


class MmarcoReader:
    """A row for each query and relevant passage of the training triples, in the languages asked for.

    path: a folder laid out as the hub's parquet revision, used where it exists; else the files come from the hub at
    `revision`. languages: those to read, each about 3 GB to fetch. max_negatives: the first so many irrelevant passages
    of a pair in the triples become its negatives. A pair lacks a language where its query or passage is missing or
    blank. Rows that share the query never meet in a batch, as both passages answer it.

    The texts that pairs need are kept under cache_root (None: the cache folder of mixlingua), one finished part for
    each file of the source; a build that was interrupted goes on after the last finished part. In memory are the ids
    alone.
    """

    def __init__(
        self,
        path: str | Path,
        languages: Sequence[str],
        max_negatives: int,
        revision: str,
        cache_root: str | Path | None = None,
        name: str = "mmarco",
    ) -> None:
        for language in languages:
            if language not in LANGUAGES:
                raise ConfigError(
                    f"data.sources.{name}.languages: mMARCO has no '{language}'; it has {', '.join(LANGUAGES)}."
                    f"{suggest(language, LANGUAGES)}"
                )
        if not languages:
            raise ConfigError(f"data.sources.{name}.languages is empty; name some of {', '.join(LANGUAGES)}.")
        if max_negatives < 0:
            raise ConfigError(f"data.sources.{name}.max_negatives is {max_negatives}; it must be 0 or more.")
        self.name = name
        self.languages = sorted(set(languages))
        self.max_negatives = max_negatives
        self._files: MmarcoFiles = FolderFiles(Path(path)) if Path(path).is_dir() else HubFiles(revision, Path(path))
        self._cache_root = Path(cache_root) if cache_root else cache_dir()

    def fingerprint(self) -> str:
        """A hash of the options and of the files, so that a built store is found again without a network.

        A local folder counts by the content of its triples and of its parquet footers, the hub by its revision.
        """
        identity = self._files.identity([LANGUAGES[language] for language in self.languages])
        return content_hash("mmarco", VERSION, str(self.max_negatives), ",".join(self.languages), *identity)

    def rows(self) -> Iterator[PairRow]:
        """The rows in the order of the triples. Raises DataError where files are missing or cannot be fetched."""
        work = self._cache_root / "mmarco" / self.fingerprint()[:16]
        pairs = self._pairs(work)
        queries, passages = {}, {}
        for language in self.languages:
            name = LANGUAGES[language]
            queries[language] = self._texts(work, train_queries(self._files, name), np.unique(pairs[:, 0]))
            passages[language] = self._texts(work, collection(self._files, name), np.unique(pairs[:, 1:]))
        for pair in pairs:
            if row := _row(pair.tolist(), queries, passages):
                yield row

    def _pairs(self, work: Path) -> np.ndarray:
        """(N, 2 + max_negatives) int64: query, relevant passage and irrelevant ones, -1 where there are fewer."""
        part = work / "pairs.npy"
        if not part.exists():
            logger.info("%s: reading the training triples", self.name)
            with atomic_write(part) as partial:
                np.save(partial, self._read_triples(self._files.fetch(TRIPLES)))
        return np.load(part)

    def _read_triples(self, file: Path) -> np.ndarray:
        pairs: dict[tuple[int, int], list[int]] = {}
        for number, line in read_lines(file):
            try:
                query, relevant, irrelevant = map(int, line.split("\t"))
            except ValueError:
                raise DataError(f"{file}:{number}: expected three tab-separated ids, found {line!r}.") from None
            negatives = pairs.setdefault((query, relevant), [])
            if len(negatives) < self.max_negatives:
                negatives.append(irrelevant)
        matrix = np.full((len(pairs), 2 + self.max_negatives), -1, np.int64)
        for row, (pair, negatives) in enumerate(pairs.items()):
            matrix[row, : 2 + len(negatives)] = *pair, *negatives
        return matrix

    def _texts(self, work: Path, names: list[str], wanted: np.ndarray) -> TextLookup:
        parts = []
        for number, name in enumerate(names, start=1):
            part = work / f"{name.replace('/', '--')}.arrow"
            if not part.exists():
                logger.info("%s: %s (file %d of %d)", self.name, name, number, len(names))
                filtered_part(self._files.fetch(name), part, wanted)
            parts.append(part)
        return TextLookup(parts)


def _row(pair: list[int], queries: dict[str, TextLookup], passages: dict[str, TextLookup]) -> PairRow | None:
    query, relevant, *irrelevant = pair
    row = PairRow(
        id=f"{query}-{relevant}", queries={}, passages={}, passage_id=str(relevant), touches=(f"query {query}",)
    )
    for language, lookup in passages.items():
        question, passage = queries[language].get(query), lookup.get(relevant)
        if question and passage:
            row.queries[language] = question
            row.passages[language] = passage
            if negatives := [text for number in irrelevant if (text := lookup.get(number))]:
                row.negatives[language] = negatives
    return row if row.queries else None
