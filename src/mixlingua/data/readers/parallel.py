"""Parallel text as training pairs: a sentence and its translations, or a sentence and what follows it."""

import logging
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path

from mixlingua.data.public_corpora import DOCUMENTS, PublicCorpus, public_corpus
from mixlingua.data.readers.jsonl import named_file
from mixlingua.data.readers.sentences import ParallelFiles, Sentence
from mixlingua.data.rows import PairRow, check_texts, unit_interval
from mixlingua.errors import ConfigError, DataError, check_choice, suggest
from mixlingua.files import content_hash
from mixlingua.languages import between_sentences, language_of, two_letter

logger = logging.getLogger(__name__)

VERSION = "1"
PAIRINGS = ("same", "next")
LOCAL_DOCUMENTS = "docs.tsv"  # beside <language>.txt: the document of each line
_PAIR = re.compile(r"(?P<pair>.+\.(?P<first>[A-Za-z_-]+)-(?P<second>[A-Za-z_-]+))\.(?P<side>[A-Za-z_-]+)")


class ParallelReader:
    """Rows from sentences with their translations.

    path: one of
    - JSON lines, plain or .gz, of `{"id", "doc"?, "fold"?, "texts": {language: text}}`: a file, or several;
    - a folder with such files, of which `names` chooses NAME.jsonl.gz or NAME.jsonl;
    - a folder of line-aligned files `<language>.txt`, perhaps with `docs.tsv`, the document of each line;
    - a folder of line-aligned pairs of files, `NAME.de-en.de` and `NAME.de-en.en`, as OPUS gives them ("Moses"), with
      codes of two letters or three.
    name: of the source
    names: of the JSON lines files of a folder, without .jsonl.gz; []: the folder has line-aligned files
    corpus: what is read where `path` is not there: a corpus of public_corpora.toml, whose files are fetched unless they
    are at `path` (for a path of JSON lines, in a folder of the corpus' name beside it)
    fetched: languages of that corpus; []: all
    pairing: same, a sentence is query and passage alike; or next, a sentence asks for those that follow it
    span: of "next", the sentences of a passage, fewer at the end of a document
    include_query: of "next", the probability that the passage begins with the sentence itself, equal in all languages
    fold: rows of another fold are left out, and none where it is None; rows without a fold belong to every one.

    Rows of "same" are text to learn translations from, in cross-lingual batches or by distillation: in a batch of one
    language a query would ask for itself. A row of "next" touches every sentence in its query and its passage, so that
    rows that overlap never meet in a batch. Whether it includes its query is decided by a hash of its number.
    """

    def __init__(
        self,
        path: str | Path | Sequence[str | Path],
        name: str = "parallel",
        *,
        names: Sequence[str] = (),
        corpus: str | None = None,
        fetched: Sequence[str] = (),
        pairing: str = "same",
        span: int = 2,
        include_query: float = 1.0,
        fold: str | None = "train",
    ) -> None:
        key = f"data.sources.{name}"
        check_choice(f"{key}.pairing", pairing, PAIRINGS)
        if span < 1:
            raise ConfigError(f"{key}.span is {span}; a passage needs at least 1 sentence.")
        if not 0.0 <= include_query <= 1.0:
            raise ConfigError(f"{key}.include_query is {include_query}; a probability is within [0, 1].")
        self.name = name
        self.paths = [Path(path)] if isinstance(path, str | Path) else [Path(file) for file in path]
        self.names = names
        self.corpus: PublicCorpus | None = public_corpus(corpus, f"{key}.corpus") if corpus else None
        self.fetched = fetched
        self.pairing = pairing
        self.span = span
        self.include_query = include_query
        self.fold = fold

    def fingerprint(self) -> str:
        """A hash of the files' content and the options. Raises DataError where a file is missing or cannot be had."""
        # 2: since sentences are joined by the script of their language
        pairing = f"next 2 {self.span} {float(self.include_query)}" if self.pairing == "next" else "same"
        return content_hash("parallel", VERSION, pairing, str(self.fold), *self._files().identity())

    def rows(self) -> Iterator[PairRow]:
        """The rows in the order of the files. Raises DataError with file and line for what is malformed."""
        return self._same() if self.pairing == "same" else self._next()

    def _same(self) -> Iterator[PairRow]:
        alone = 0
        for sentence in self._chosen():
            if len(sentence.texts) < 2:
                alone += 1
                continue
            # Each side has a dictionary of its own: whoever changes one does not change the other.
            row = PairRow(
                id=sentence.id,
                queries=sentence.texts,
                passages=dict(sentence.texts),
                passage_id=sentence.id,
                split_key=sentence.document,
            )
            check_texts(row, sentence.where)
            yield row
        if alone:
            logger.warning("%s: sentences in one language alone, left out: %d.", self.name, alone)

    def _next(self) -> Iterator[PairRow]:
        number = 0  # of the sentences before the document
        for document, group in groupby(self._chosen(), key=lambda sentence: sentence.document):
            sentences = list(group)
            if not document:
                raise DataError(
                    f"{sentences[0].where}: no document. data.sources.{self.name}.pairing=next needs that of each "
                    'sentence, in docs.tsv or as "doc"; or set it to same.'
                )
            for position, query in enumerate(sentences[:-1]):
                whole = unit_interval(f"{self.name}:{number + position}") < self.include_query
                end = min(position + 1 + self.span, len(sentences))
                passage = sentences[position if whole else position + 1 : end]
                languages = [
                    language for language in query.texts if all(language in sentence.texts for sentence in passage)
                ]
                if not languages:
                    continue
                row = PairRow(
                    id=query.id,
                    queries={language: query.texts[language] for language in languages},
                    passages={
                        language: between_sentences(language).join(sentence.texts[language] for sentence in passage)
                        for language in languages
                    },
                    passage_id=f"{passage[0].id}-{number + end}",
                    touches=tuple(f"sentence {number + place + 1}" for place in range(position, end)),
                    split_key=document,
                )
                check_texts(row, query.where)
                yield row
            number += len(sentences)

    def _chosen(self) -> Iterator[Sentence]:
        """The sentences of the fold."""
        folds: Counter[str] = Counter()
        for sentence in self._files().sentences(blank_allowed=self.pairing == "same"):
            folds[sentence.fold] += 1
            if self.fold is None or sentence.fold in ("", self.fold):
                yield sentence
        known = sorted(folds.keys() - {""})
        if known and self.fold not in (None, *known):
            raise DataError(
                f"data.sources.{self.name}.fold is '{self.fold}', and the rows are of {', '.join(known)}."
                f"{suggest(str(self.fold), known)} Choose one of these, or null for all."
            )

    def _files(self) -> ParallelFiles:
        folder = self.paths[0]
        if self.corpus is not None and not folder.exists():
            return self._public_files(self.corpus)
        if folder.is_dir() and not self.names:
            return ParallelFiles("lines", self._pair_files(folder) or {"": self._language_files(folder)})
        files = [named_file(folder, name) for name in self.names] or self.paths
        return ParallelFiles("jsonl", {"": {str(number): file for number, file in enumerate(files)}})

    def _public_files(self, corpus: PublicCorpus) -> ParallelFiles:
        path, key = self.paths[0], f"data.sources.{self.name}"
        originals = path.parent / corpus.name if ".jsonl" in path.name else path
        parts = corpus.parts(self.fetched or corpus.languages, f"{key}.fetched")
        return ParallelFiles(
            corpus.format,
            {
                part: {language: file.local_or_fetched(originals, key) for language, file in parts[part].items()}
                for part in sorted(parts)
            },
            corpus.header,
            corpus.merge,
            corpus.dev_lines,
        )

    def _pair_files(self, folder: Path) -> dict[str, dict[str, Path]]:
        """Pair such as `tatoeba.deu-eng` -> language -> file; empty where the folder has no such files."""
        pairs: dict[str, dict[str, Path]] = {}
        for file in sorted(folder.glob("*.*-*.*")):
            match = _PAIR.fullmatch(file.name)
            if match and match["side"] in (match["first"], match["second"]):
                language = language_of(two_letter(match["side"]), str(file))
                pairs.setdefault(match["pair"], {})[language] = file
        for pair, sides in pairs.items():
            if len(sides) < 2:
                raise DataError(f"{folder}: {pair} has one side, {next(iter(sides.values())).name}. Fetch the other.")
        return pairs

    def _language_files(self, folder: Path) -> dict[str, Path]:
        """Language -> file, after the file of the documents where there is one."""
        files = {language_of(file.stem, str(file)): file for file in sorted(folder.glob("*.txt"))}
        if not files:
            packed = sorted(file.name.partition(".jsonl")[0] for file in folder.glob("*.jsonl*"))
            raise DataError(
                f"{folder}: no parallel text that is aligned by line: neither <language>.txt nor NAME.de-en.de with "
                f"NAME.de-en.en. Set data.sources.{self.name}.path, or paths.data"
                + (f", or choose some of {', '.join(packed)} by data.sources.{self.name}.names." if packed else ".")
            )
        documents = folder / LOCAL_DOCUMENTS
        return {DOCUMENTS: documents, **files} if documents.is_file() or self.pairing == "next" else files
