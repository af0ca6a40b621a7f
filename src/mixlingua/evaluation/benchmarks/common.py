"""What several benchmarks need: chosen languages, parallel questions, the published files, transformed passages."""

import logging
import shutil
import tomllib
import zipfile
import zlib
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from mixlingua.errors import ConfigError, DataError
from mixlingua.evaluation.results import SETTINGS
from mixlingua.evaluation.tasks import Qrels, RetrievalTask, Texts
from mixlingua.files import atomic_write, cache_dir, content_hash, local_or_fetched, sha256
from mixlingua.languages import suggest_language
from mixlingua.retrieval.passage_transforms import HubCorrection, Joining, PassageTransforms

logger = logging.getLogger(__name__)

Differs = Callable[[Path], str | None]  # what tells a file from the published one; None of the published one


@cache
def table(name: str) -> dict[str, Any]:
    """A table of facts beside this module, such as "published" (published.toml)."""
    return tomllib.loads(resources.files(__package__).joinpath(f"{name}.toml").read_text("utf-8"))


def chosen_languages(
    task: str,
    languages: Sequence[str] | None,
    offered: Collection[str] | Mapping[str, str],
    default: Collection[str] | None = None,
    at_least: int = 1,
) -> tuple[str, ...]:
    """`languages` in alphabetical order, so that data do not depend on the order of a list.

    offered: the languages that the benchmark has; a mapping says what its files call each of them, for suggestions.
    default: what is taken where languages is None; all by default. at_least: how many the benchmark needs.
    Raises ConfigError, naming the task, for too few languages, one given twice, or one that is not offered.
    """
    if isinstance(languages, str):
        raise ConfigError(f"task {task}: languages={languages}: a list is needed, such as [{languages}].")
    chosen = tuple((offered if default is None else default) if languages is None else languages)
    for language in chosen:
        if language not in offered:
            names = offered if isinstance(offered, Mapping) else {}
            codes = [code for code, name in names.items() if name == language]
            near = f" Use the code '{codes[0]}'." if codes else suggest_language(str(language), offered)
            raise ConfigError(f"task {task}: no language '{language}'; it has {', '.join(offered)}.{near}")
        if chosen.count(language) > 1:
            raise ConfigError(f"task {task}: language '{language}' is given more than once.")
    if len(chosen) < at_least:
        needed = "a translation needs two languages or more" if at_least > 1 else "choose one or more"
        raise ConfigError(f"task {task}: languages=[{','.join(chosen)}]: {needed}; it has {', '.join(offered)}.")
    return tuple(sorted(chosen))


def settings_of(languages: Sequence[str]) -> tuple[str, ...]:
    """The settings of parallel questions in these languages: all, or `monolingual` where there is only one language."""
    return SETTINGS if len(languages) > 1 else ("monolingual",)


def with_language(texts: Texts) -> Texts:
    """Texts by ids that are unique over all languages: "7" in German becomes "de:7"."""
    return {
        language: {f"{language}:{key}": text for key, text in of_language.items()}
        for language, of_language in texts.items()
    }


def parallel_qrels(answers: Mapping[str, Mapping[str, str]]) -> Qrels:
    """The qrels of parallel questions: the answer to a question is relevant in every language that has the question.

    answers: language -> question id -> passage id, as it was before `with_language`.
    """
    relevant: dict[str, dict[str, int]] = {}
    for language, passages in answers.items():
        for question, passage in passages.items():
            relevant.setdefault(question, {})[f"{language}:{passage}"] = 1
    return {language: {question: relevant[question] for question in passages} for language, passages in answers.items()}


def published_file(task: str, folder: Path, name: str, url: str, differs: Differs, version: str = "") -> Path:
    """A benchmark's file: in `folder`, else in the cache, where it is fetched to from `url`.

    version: of the cached copy, where the URL has one. What is fetched is kept only where it does not differ from the
    published file. Raises DataError where it differs, or is in neither place and cannot be fetched.
    """

    def verify(fetched: Path) -> None:
        if difference := differs(fetched):
            raise DataError(
                f"{url}: what was fetched is not the published file: {difference} (SHA-256 {sha256(fetched)}). It was "
                f"not kept. Fetch it again, or put a trusted copy into {folder}."
            )

    cached = cache_dir() / task / version / name
    return local_or_fetched(name, needed_by=f"task {task}", folder=folder, cached=cached, url=url, verify=verify)


def published_member(task: str, folder: Path, member: str, archive: str, url: str, differs: Differs) -> Path:
    """A file of a .zip archive: in `folder`, else unpacked to the cache from the archive, there or fetched.

    member: its place in the archive. differs: of the file. Errors are those of `published_file`.
    """
    name = member.rpartition("/")[2]
    if (folder / name).is_file():
        return folder / name

    def differs_within(fetched: Path) -> str | None:
        unpacked = _unpacked(task, fetched, member)
        if difference := differs(unpacked):
            unpacked.unlink()
        return difference

    try:
        packed = published_file(task, folder, archive, url, differs_within)
    except DataError as error:
        raise DataError(f"{error} {name} alone, from that archive, will do as well.") from error
    return _unpacked(task, packed, member)


def _unpacked(task: str, archive: Path, member: str) -> Path:
    unpacked = cache_dir() / task / sha256(archive)[:16] / member.rpartition("/")[2]
    if not unpacked.is_file():
        try:
            with (
                zipfile.ZipFile(archive) as opened,
                opened.open(member) as packed,
                atomic_write(unpacked) as partial,
                partial.open("wb") as file,
            ):
                shutil.copyfileobj(packed, file)
        except (zipfile.BadZipFile, zlib.error, EOFError, KeyError) as error:
            raise DataError(f"{archive}: no whole archive with {member} in it ({error}). Fetch it again.") from error
    return unpacked


@contextmanager
def naming_local_languages(task: str, folder: Path, names: Mapping[str, Collection[str]]) -> Iterator[None]:
    """Add to a DataError about a missing file which languages the folder does have.

    names: the files that each language of the benchmark needs.
    """
    try:
        yield
    except DataError as error:
        here = [language for language, needed in names.items() if all((folder / name).is_file() for name in needed)]
        if not here:
            raise
        raise DataError(
            f"{error} The languages that are there: evaluation.tasks.{task}.languages=[{','.join(here)}]."
        ) from error


def revision_of(task: str, published: str, paths: Collection[Path], others: Collection[Path]) -> str:
    """The published revision, or, where files differ from what was published (`others`), a hash of all files.

    Warns in the latter case, naming the files.
    """
    if not others:
        return published
    revision = f"local-{content_hash(*paths)[:16]}"
    warn_of_others(task, f"{', '.join(map(str, others))} differ from the published files; revision {revision}")
    return revision


def warn_of_others(task: str, difference: str) -> None:
    """Say that the data are not what was published."""
    logger.warning("task %s: %s; scores compare with no published figure", task, difference)


def transformed(
    task: RetrievalTask,
    suffix: str,
    context_weight: float = 0.0,
    joining: Joining | None = None,
    hub_correction: HubCorrection | None = None,
) -> RetrievalTask:
    """The task as NAME_suffix: the same queries, passages, judgements and settings, over transformed passages.

    The passages of all languages are transformed together; monolingual and cross-lingual queries then search those in
    one language. The revision stays that of the data: comparisons look at the transforms as well.

    task: whose passages are transformed
    suffix: of the new task's name
    context_weight: of the vector of a passage's paragraph, which is added to the passage's own; 0: none
    joining: how passages are joined with their nearest ones in other languages; null: not at all
    hub_correction: what passages lose that are near many others; null: nothing

    Raises DataError where the task cannot have them: joining in one language, or contexts where passages are no part of
    a text.
    """
    transforms = PassageTransforms(context_weight, joining, hub_correction)
    note = f"{task.note} {transforms.note}".rstrip()
    return replace(task, name=f"{task.name}_{suffix}", note=note, transforms=transforms)
