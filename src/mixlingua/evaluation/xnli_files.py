"""The files of XNLI (Conneau et al. 2018, arXiv 1809.05053), local or fetched; whether they are the published ones."""

import functools
import logging
import shutil
import zipfile
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from mixlingua.errors import ConfigError, DataError, suggest
from mixlingua.fetch import local_or_fetched
from mixlingua.files import atomic_write, cache_dir, content_hash, sha256

LICENCE = "CC BY-NC 4.0"
LANGUAGES = ("ar", "bg", "de", "el", "en", "es", "fr", "hi", "ru", "sw", "th", "tr", "ur", "vi", "zh")

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class PublicFile:
    """A file of an archive. member: its place there; per_language, languages: the published numbers of pairs."""

    name: str
    archive: str
    member: str
    per_language: int
    languages: int

    @property
    def url(self) -> str:
        return f"https://dl.fbaipublicfiles.com/XNLI/{self.archive}"

    @property
    def lines(self) -> int:
        """With the header."""
        return self.per_language * self.languages + 1

    def path(self, folder: Path) -> Path:
        """Where the file is: in folder, else unpacked to the cache from its archive, in folder or fetched.

        No checksum is published: a fetched archive must hold the file with its published number of lines. Raises
        DataError where it does not, or there is neither file, archive nor network.
        """
        local = folder / self.name
        if local.is_file():
            return local
        try:
            archive = local_or_fetched(
                self.archive,
                needed_by="task xnli",
                folder=folder,
                cached=cache_dir() / "xnli" / self.archive,
                url=self.url,
                verify=functools.partial(self._verify, whole=True),
            )
        except DataError as error:
            raise DataError(f"{error} {self.name} alone, from that archive, will do as well.") from error
        unpacked = cache_dir() / "xnli" / sha256(archive)[:16] / self.name
        if not unpacked.is_file():
            self._verify(archive, whole=False)
            with (
                zipfile.ZipFile(archive) as opened,
                opened.open(self.member) as packed,
                atomic_write(unpacked) as partial,
                partial.open("wb") as file,
            ):
                shutil.copyfileobj(packed, file)
        return unpacked

    def _verify(self, archive: Path, *, whole: bool) -> None:
        try:
            with zipfile.ZipFile(archive) as opened, opened.open(self.member) as file:
                lines = sum(1 for _ in file) if whole else self.lines
        except (zipfile.BadZipFile, KeyError) as error:
            raise DataError(
                f"{archive}: no archive with {self.member} in it ({error}); fetch {self.url} again."
            ) from error
        if lines != self.lines:
            raise DataError(
                f"{self.url}: {self.member} has {lines:,} lines, not the published {self.lines:,}; not kept."
            )


DEV = PublicFile("xnli.dev.tsv", "XNLI-1.0.zip", "XNLI-1.0/xnli.dev.tsv", 2490, len(LANGUAGES))
TEST = PublicFile("xnli.test.tsv", "XNLI-1.0.zip", "XNLI-1.0/xnli.test.tsv", 5010, len(LANGUAGES))
MULTINLI = PublicFile(
    "multinli.train.en.tsv", "XNLI-MT-1.0.zip", "XNLI-MT-1.0/multinli/multinli.train.en.tsv", 392_702, 1
)


def known_languages(task: str, languages: Collection[str] | None) -> tuple[str, ...]:
    """These languages, sorted; all fifteen for None. Raises ConfigError for one that XNLI does not have."""
    for language in languages or ():
        if language not in LANGUAGES:
            listed = ", ".join(LANGUAGES)
            raise ConfigError(f"task {task}: no language '{language}'; it has {listed}.{suggest(language, LANGUAGES)}")
    return LANGUAGES if languages is None else tuple(sorted(languages))


def release(task: str, counts: Mapping[Path, Collection[tuple[int, int]]]) -> str:
    """ "XNLI-1.0" where every file has as many pairs as published, else a name by the files' content, with a warning.

    counts: published and found numbers of pairs in the languages that are used of each file.
    """
    others = [path for path, pairs in counts.items() if any(published != found for published, found in pairs)]
    if not others:
        return "XNLI-1.0"
    revision = f"local-{content_hash(*counts)[:16]}"
    log.warning(
        "task %s: %s differ from the published files; scores carry revision %s and compare with no published figure",
        task,
        ", ".join(map(str, others)),
        revision,
    )
    return revision
