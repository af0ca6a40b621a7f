"""Training data from any data set of the library `datasets`, by its columns."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from mixlingua.data.readers.columns import Columns
from mixlingua.data.rows import PairRow
from mixlingua.errors import ConfigError, DataError, suggest
from mixlingua.files import content_hash
from mixlingua.languages import language_of

logger = logging.getLogger(__name__)

VERSION = "2"


class HubReader:
    """Rows from a data set of the library `datasets`: of the hub, of a folder, or saved by `save_to_disk`.

    path: a hub id (owner/name), or a folder that holds the data set's files alone
    columns: which columns are what, by the fields of `Columns`: query, passages, negatives, scores, id, language; null:
    `query` and `passage`
    languages: of the data set; several where the columns' names have `{language}`
    subset, split, revision: as `datasets.load_dataset` takes them (its name, split, revision); name a commit to train
    on the same rows again
    streaming: read from the hub as rows are asked for, without fetching whole files first
    max_rows: the first so many records; null: all
    name: of the source
    """

    def __init__(
        self,
        path: str | Path,
        columns: Mapping[str, Any] | None = None,
        languages: Sequence[str] = ("en",),
        subset: str | None = None,
        split: str = "train",
        revision: str | None = None,
        streaming: bool = False,
        max_rows: int | None = None,
        name: str = "hf",
    ) -> None:
        key = f"data.sources.{name}"
        if Path(path).is_file():
            raise ConfigError(f"{key}.path={path}: a file; put it into a folder of its own, and name that.")
        columns = {field: value for field, value in (columns or {}).items() if value is not None}
        known = [field.name for field in fields(Columns)]
        for field in columns:
            if field not in known:
                raise ConfigError(
                    f"{key}.columns.{field}: it is one of {', '.join(known)}.{suggest(str(field), known)}"
                )
        for field in ("query", "id", "language"):
            if not isinstance(columns.get(field, ""), str):
                raise ConfigError(f"{key}.columns.{field}={columns[field]}: it is the name of one column.")
        lists = {field: [columns[field]] if isinstance(columns[field], str) else list(columns[field])
                 for field in ("passages", "negatives", "scores") if columns.get(field)}  # fmt: skip
        self.columns = Columns(**{**columns, **lists})
        named = "{language}" in f"{self.columns.query} {' '.join(self.columns.passages)}"
        if len(languages) != 1 and not named:
            raise ConfigError(
                f"{key}.languages={list(languages)}: with several, the columns' names say which is which, such as "
                f"{key}.columns.query='question_{{language}}'."
            )
        self.languages = [language_of(code, f"{key}.languages") for code in languages]
        self.name, self.path, self.subset, self.split, self.revision = name, str(path), subset, split, revision
        self.streaming, self.max_rows = streaming, max_rows

    def fingerprint(self) -> str:
        """A hash of the options and of a folder's files; of a data set of the hub its id and revision count."""
        folder = Path(self.path)
        files = sorted(file for file in folder.rglob("*") if file.is_file()) if folder.is_dir() else []
        options = (self.columns, self.languages, self.subset, self.split, self.revision, self.max_rows)
        identity = [part for file in files for part in (file.relative_to(folder).as_posix(), file)] or [self.path]
        return content_hash("hf", VERSION, repr(options), *identity)

    def rows(self) -> Iterator[PairRow]:
        """The rows in the data set's order. Raises DataError where it cannot be read, or a record is malformed."""
        records = self._load()
        seen = 0
        for number, values in enumerate(records if self.max_rows is None else records.take(self.max_rows), start=1):
            seen = number
            yield from self.columns.rows((f"{self.path}[{self.split}] row {number}", values), number, self.languages)
        logger.info("%s: %d records of %s", self.name, seen, self.path)

    def _load(self) -> Any:
        try:
            from datasets import load_dataset, load_from_disk
        except ModuleNotFoundError as error:
            raise DataError("data=hf needs the library datasets: pip install 'datasets>=4,<6'.") from error
        try:
            if any((Path(self.path) / file).is_file() for file in ("state.json", "dataset_dict.json")):
                saved = load_from_disk(self.path)
                return saved[self.split] if isinstance(saved, dict) else saved
            return load_dataset(
                self.path, self.subset, split=self.split, revision=self.revision, streaming=self.streaming,
                # datasets knows what it prepared of a folder by the files' times, which archives and copies keep
                download_mode="force_redownload" if Path(self.path).is_dir() else None,
            )  # fmt: skip
        except Exception as error:  # datasets and the hub's client raise their own errors, those of HTTP and OSErrors
            raise DataError(
                f"data.sources.{self.name}.path={self.path}: cannot be read ({type(error).__name__}: {error}). It is a "
                "hub id (owner/name) with its subset, split and revision, or a folder; without a network, bring the "
                "files and set path to their folder. Code of data sets is never run."
            ) from error
