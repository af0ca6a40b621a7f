"""Questions with the passages that answer them, in one or several languages."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from mixlingua.data.readers.jsonl import label_of, named_file, read_json_rows, texts_of
from mixlingua.data.rows import PairRow, check_texts
from mixlingua.errors import ConfigError, DataError, check_choice
from mixlingua.files import content_hash
from mixlingua.reading import read_lines

logger = logging.getLogger(__name__)

VERSION = "1"
PASSAGES = ("paragraph", "sentence")
DEVELOPMENT = ("belebele", "bitcoin_faq")
QA_FIELDS = (
    *("id", "doc", "fold", "queries", "passages", "sentences", "answer_sentence"),
    *("split", "answer", "answers", "flores_lines"),  # known, so that they are not taken for misspelt ones
)


class QaReader:
    """Rows of JSON lines, plain or .gz, with questions, paragraphs and the sentences that these consist of.

    A line is `{"id", "doc", "queries": {language: text}, "passages": {language: text}, "sentences"?,
    "answer_sentence"?, "answer"?, "fold"?}`. sentences: a list, of the one language of the row, or lists by language;
    answer_sentence: the position, from 0, of the sentence that holds the answer, the same in all languages; -1 where
    it is not known: such rows are left out with "sentence". A row has the languages in which there are both query and
    passage.

    path: the folder with NAME.jsonl.gz or NAME.jsonl for each of `names`.
    name: of the source
    names: of the files, without .jsonl.gz
    passage: paragraph, or sentence: the one that holds the answer
    num_other_sentences: with "sentence", so many other sentences of the paragraph, those nearest to it that do not
    contain the answer's text, are the row's hard negatives; rows that have fewer are left out
    fold: rows of another fold are left out, and none where it is None; rows without a fold belong to every one.
    development: true allows the names of `DEVELOPMENT`, which are not for training: for data.validation_sources.
    Rows of one document are held out together.
    """

    def __init__(
        self,
        path: str | Path,
        name: str = "qa",
        *,
        names: Sequence[str] = ("ar_arcd", "ar_tydi", "en_tydi", "ru_tydi", "th_iapp", "zh_cmrc2018", "zh_drcd"),
        passage: str = "paragraph",
        num_other_sentences: int = 0,
        fold: str | None = "train",
        development: bool = False,
    ) -> None:
        key = f"data.sources.{name}"
        check_choice(f"{key}.passage", passage, PASSAGES)
        if num_other_sentences < 0 or (num_other_sentences and passage != "sentence"):
            raise ConfigError(
                f"{key}.num_other_sentences is {num_other_sentences}; it must be 0, or more with passage=sentence."
            )
        if not names:
            raise ConfigError(f"{key}.names is empty; name one file or more of {path}.")
        for chosen in names:
            if chosen in DEVELOPMENT and not development:
                raise ConfigError(
                    f"{key}.names: '{chosen}' is for development, not for training. Take it out; or give it to "
                    "data.validation_sources, with development: true."
                )
        self.name = name
        self.passage = passage
        self.num_other_sentences = num_other_sentences
        self.fold = fold
        self._files = [named_file(Path(path), chosen) for chosen in names]

    def fingerprint(self) -> str:
        """A hash of the files' content and the options. Raises DataError where a file is missing or empty."""
        for file in self._files:
            next(read_lines(file))
        options = f"{self.passage} {self.num_other_sentences} {self.fold}"
        return content_hash("qa", VERSION, options, *self._files)

    def rows(self) -> Iterator[PairRow]:
        """The rows in file order. Raises DataError with file and line; a duplicate id is found after the last row."""
        unmarked = too_few = 0
        for where, fields in read_json_rows(self._files, QA_FIELDS):
            if self.fold is not None and label_of(fields, "fold", where) not in ("", self.fold):
                continue
            if self.passage == "sentence" and answer_sentence(fields, where) < 0:
                unmarked += 1
                continue
            row = self._row(fields, where)
            check_texts(row, where)
            if any(len(negatives) < self.num_other_sentences for negatives in row.negatives.values()):
                too_few += 1
                continue
            yield row
        if unmarked or too_few:
            logger.warning(
                "%s: rows left out: %d without a sentence that answers, %d with fewer than %d other sentences.",
                self.name,
                unmarked,
                too_few,
                self.num_other_sentences,
            )

    def _row(self, fields: dict[str, Any], where: str) -> PairRow:
        queries, passages = texts_of(fields, "queries", where), texts_of(fields, "passages", where)
        languages = [language for language in queries if language in passages]
        document = label_of(fields, "doc", where)
        paragraph = f"{document} {content_hash(passages[min(passages)])[:16]}"
        passage_id, negatives = paragraph, {}
        if self.passage == "sentence":
            answer, sentences = answer_sentence(fields, where), sentences_of(fields, where)
            if lacking := [language for language in languages if len(sentences.get(language, [])) <= answer]:
                raise DataError(
                    f"{where}: row '{fields['id']}' has no sentence {answer} in '{lacking[0]}', which answer_sentence "
                    "says, from 0, to answer. Drop the row or the language."
                )
            passages = {language: sentences[language][answer] for language in languages}
            passage_id = f"{paragraph}.{answer}"
            if self.num_other_sentences:
                negatives = {language: self._others(sentences[language], answer, fields) for language in languages}
        return PairRow(
            id=str(fields["id"]),
            queries={language: queries[language] for language in languages},
            passages={language: passages[language] for language in languages},
            passage_id=passage_id,
            negatives=negatives,
            split_key=document,
        )

    def _others(self, sentences: Sequence[str], answer: int, fields: Mapping[str, Any]) -> list[str]:
        """The sentences nearest to that of the answer which do not contain its text, and are not only punctuation."""
        text = fields.get("answer")
        others = [
            sentence
            for _, sentence in sorted(enumerate(sentences), key=lambda pair: abs(pair[0] - answer))
            if sentence != sentences[answer]
            and any(map(str.isalnum, sentence))
            and not (isinstance(text, str) and text and text in sentence)
        ]
        return others[: self.num_other_sentences]


def answer_sentence(fields: Mapping[str, Any], where: str) -> int:
    """The position of the sentence that answers, from 0; -1 where it is not known. Raises DataError for no number."""
    answer = fields.get("answer_sentence", -1)
    if not isinstance(answer, int) or isinstance(answer, bool):
        raise DataError(
            f"{where}: answer_sentence of row '{fields['id']}' is {answer!r}; it must be a whole number: the position "
            "of the sentence that answers, from 0, or -1 where it is not known."
        )
    return answer


def sentences_of(fields: dict[str, Any], where: str) -> dict[str, list[str]]:
    """Language -> the sentences of a row's passage. Raises DataError where they are not by language, unless the row has
    one passage."""
    sentences = fields.get("sentences")
    if isinstance(sentences, list):
        passages = texts_of(fields, "passages", where)
        sentences = {next(iter(passages)): sentences} if len(passages) == 1 else None
    if not isinstance(sentences, dict) or not all(
        isinstance(texts, list) and all(isinstance(text, str) for text in texts) for texts in sentences.values()
    ):
        raise DataError(
            f"{where}: sentences of row '{fields['id']}' must be lists of texts by language, or one list where its "
            "passage is in one language. Drop the row."
        )
    return sentences
