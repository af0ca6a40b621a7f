"""mMARCO: MS MARCO in 14 languages, from the Hugging Face hub or a local folder.

Source: Bonifacio et al. 2021, arXiv 2108.13897; huggingface.co/datasets/unicamp-dl/mmarco.
"""

import logging
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from mixlingua.data.readers.lines import read_lines
from mixlingua.data.readers.mmarco_files import TRIPLES, FolderFiles, HubFiles, MmarcoFiles, collection, train_queries
from mixlingua.data.readers.mmarco_texts import TextLookup, filtered_part
from mixlingua.data.rows import PairRow
from mixlingua.errors import ConfigError, DataError, suggest
from mixlingua.files import atomic_write, cache_dir, content_hash

log = logging.getLogger(__name__)

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
            log.info("%s: reading the training triples", self.name)
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
                log.info("%s: %s (file %d of %d)", self.name, name, number, len(names))
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
