"""What several benchmarks need: choice of languages, revisions of files, and a task with transformed passages."""

import logging
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from mixlingua.errors import ConfigError, DataError, suggest
from mixlingua.evaluation.tasks import RetrievalTask
from mixlingua.files import content_hash
from mixlingua.retrieval.passage_transforms import HubCorrection, Joining, PassageTransforms


def choose_languages(task: str, languages: Sequence[str] | None, known: Iterable[str]) -> tuple[str, ...]:
    """`languages`, or all that are known. Raises ConfigError for one that the benchmark does not have."""
    known = list(known)
    chosen = tuple(known if languages is None else languages)
    if not chosen:
        raise ConfigError(f"task {task}: no language; it has {', '.join(known)}.")
    for language in chosen:
        if language not in known:
            raise ConfigError(
                f"task {task}: no language '{language}'; it has {', '.join(known)}.{suggest(language, known)}"
            )
    return chosen


logger = logging.getLogger(__name__)


def chosen_languages(
    task: str, languages: Sequence[str] | None, offered: Mapping[str, str], default: Sequence[str]
) -> tuple[str, ...]:
    """`languages`, the default where they are None, in alphabetical order: data do not depend on that of a list.

    offered: what the benchmark calls each language that it has.
    Raises ConfigError, naming the task, where none is given, one twice, or one that the benchmark does not have.
    """
    chosen = tuple(default if languages is None else languages)
    for language in chosen:
        if language not in offered:
            codes = [code for code, name in offered.items() if name == language]
            near = f" Use the code '{codes[0]}'." if codes else suggest(language, offered)
            raise ConfigError(f"task {task}: no language '{language}'; it has {', '.join(offered)}.{near}")
        if chosen.count(language) > 1:
            raise ConfigError(f"task {task}: language '{language}' is given more than once.")
    if not chosen:
        raise ConfigError(f"task {task}: no language is chosen; it has {', '.join(offered)}.")
    return tuple(sorted(chosen))


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


def revision_of(task: str, published: str, paths: Sequence[Path], others: Sequence[Path]) -> str:
    """The published revision, or, where files differ from what was published (`others`), a hash of all files.

    Warns in the latter case, naming the files.
    """
    if not others:
        return published
    revision = f"local-{content_hash(*paths)[:16]}"
    logger.warning(
        "task %s: %s differ from the published files; scores carry revision %s and compare with no published figure",
        task,
        ", ".join(map(str, others)),
        revision,
    )
    return revision


def transformed(
    task: RetrievalTask,
    suffix: str,
    context_weight: float = 0.0,
    joining: Joining | None = None,
    hub_correction: HubCorrection | None = None,
) -> RetrievalTask:
    """The task as NAME_suffix: the same queries, passages, judgements and settings, over transformed passages.

    context_weight, joining, hub_correction: as `PassageTransforms` takes them. The passages of all languages are
    transformed together; monolingual and cross-lingual queries then search those in one language. Raises DataError
    where the task cannot have them: joining in one language, or contexts where passages are no part of a text.
    """
    transforms = PassageTransforms(context_weight, joining, hub_correction)
    note = f"{task.note} {transforms.note}".rstrip()
    return replace(task, name=f"{task.name}_{suffix}", note=note, transforms=transforms)
