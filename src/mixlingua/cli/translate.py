"""action=translate: give rows the languages that they lack, by a translation model, as files for data=jsonl."""

import logging
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Self

from hydra.utils import instantiate
from omegaconf import DictConfig
from rich.progress import (
    BarColumn,
    Progress,
    TaskID,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from mixlingua.cli.run_record import translations_of
from mixlingua.cli.show import announce_translation, duration, show_translation
from mixlingua.data.rows import PairRow, Reader
from mixlingua.distributed import local_device
from mixlingua.errors import DataError, source_named
from mixlingua.files import atomic_folder
from mixlingua.sampling.random import random_subset
from mixlingua.translation.job import Job, Translation
from mixlingua.translation.output import Accepted, LanguageReport, completed, write_rejected, write_report, write_rows
from mixlingua.translation.texts import Pieces, SourceTexts

logger = logging.getLogger(__name__)
_FIRST_BATCHES = 5  # after which the time that is left is told


def translate(cfg: DictConfig, run_dir: Path) -> dict[str, float]:
    """Translate what the chosen sources lack, on one device. Returns the share of accepted texts by language.

    RUN/translations holds what is translated so far: a run that was stopped goes on from there, in the same folder or
    by `resume`. RUN/pairs/NAME.jsonl.gz holds each source's rows, RUN/rejected/LANGUAGE.jsonl.gz the rejected texts,
    RUN/translation.json the counts.
    """
    settings: Translation = instantiate(cfg.translation)
    readers = [instantiate(source) for source in cfg.data.sources.values()]
    folder = run_dir / "translations"
    if cfg.resume:
        _take_over(translations_of(cfg.resume), folder)
    known = [settings.source, *(code for code in settings.languages if code != settings.source)]
    translator = instantiate(cfg.translator).load(
        known, device=local_device(cfg.trainer.accelerator), precision=cfg.trainer.precision
    )
    sources = SourceTexts(settings.source, settings.languages)
    for number, (name, reader) in enumerate(zip(cfg.data.sources, readers, strict=True)):
        with source_named(f"data.sources.{name}"):
            sources.add(_rows(reader, number, cfg))
    pieces = Pieces(sources.texts, translator, settings.source, settings.piece_tokens)
    job = Job(translator, settings, sources, pieces, folder)
    accepted, reports = _translate_all(cfg, job, run_dir)

    def lookup(language: str, text: str) -> str | None:
        return accepted[language].get(sources.position(text))

    for number, (name, reader) in enumerate(zip(cfg.data.sources, readers, strict=True)):
        rows = (completed(row, settings.source, settings.languages, lookup) for row in _rows(reader, number, cfg))
        for language, count in write_rows(run_dir / "pairs" / f"{name}.jsonl.gz", rows).items():
            if language in reports:
                reports[language].num_rows += count
    about = {
        "translator": cfg.translator.name_or_path,
        "revision": cfg.translator.revision,
        "licence": cfg.translator.licence,
        "source": settings.source,
        "num_rows": sources.num_rows,
    }
    write_report(run_dir / "translation.json", about, reports)
    show_translation(cfg, run_dir, sources, reports)
    return {f"translation/{language}/accepted": report.accepted for language, report in reports.items()}


def _take_over(earlier: Path, folder: Path) -> None:
    """Copy a stopped run's translations to `folder`, unless that is the same or holds some already."""
    if earlier.resolve() != folder.resolve() and not folder.exists():
        with atomic_folder(folder) as partial:
            shutil.copytree(earlier, partial, dirs_exist_ok=True)


def _translate_all(cfg: DictConfig, job: Job, run_dir: Path) -> tuple[dict[str, Accepted], dict[str, LanguageReport]]:
    """The accepted texts and the counts of each language that some row lacks; RUN/rejected is written."""
    texts = job.sources.texts
    languages = [language for language in job.settings.languages if job.sources.needed(language)]
    if not languages:
        raise DataError(
            f"translation.languages={list(job.settings.languages)}: no row has '{job.settings.source}' and lacks one "
            "of them, so that there is nothing to translate. Choose another translation.source or other languages."
        )
    costs = {language: job.cost(language) for language in languages}
    announce_translation(cfg, run_dir, job, costs)
    num_tokens = sum(cost.num_tokens for cost in costs.values())
    accepted: dict[str, Accepted] = {}
    reports: dict[str, LanguageReport] = {}
    with TranslationBar(num_tokens * (2 if job.settings.gate.min_round_trip is not None else 1)) as bar:
        for language in languages:
            verdicts, ratio = job.translate(language, bar)
            write_rejected(run_dir / "rejected" / f"{language}.jsonl.gz", texts, verdicts)
            accepted[language] = Accepted.write(job.folder / f"{language}.arrow", verdicts, len(texts))
            reports[language] = LanguageReport.of(verdicts, ratio)
    return accepted, reports


def _rows(reader: Reader, number: int, cfg: DictConfig) -> Iterator[PairRow]:
    """The rows of a source, no more than data.max_rows: those that training takes without a held-out share."""
    if cfg.data.max_rows is None:
        return reader.rows()
    num_rows = sum(1 for _ in reader.rows())
    if num_rows <= cfg.data.max_rows:
        return reader.rows()
    chosen = set(random_subset(num_rows, cfg.data.max_rows, seed=cfg.seed, source_index=number).tolist())
    return (row for position, row in enumerate(reader.rows()) if position in chosen)


class TranslationBar:
    """A progress bar for each direction of a translation; after the first batches it logs once how long all may take.

    The estimate takes each source token to last as long as those so far, and translating back as long as translating.
    """

    def __init__(self, num_tokens: int, clock: Callable[[], float] = time.monotonic) -> None:
        """num_tokens: source tokens of all directions."""
        columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
        self._bar = Progress(*columns, TimeRemainingColumn())
        self._tasks: dict[str, TaskID] = {}
        self._num_tokens = num_tokens
        self._clock = clock
        self._started = clock()
        self._batches = 0
        self._done = self._stage_done = 0  # tokens, in all and of the stage

    def __enter__(self) -> Self:
        self._bar.start()
        self._started = self._clock()
        return self

    def __exit__(self, *exception: object) -> None:
        self._bar.stop()

    def __call__(self, stage: str, done: int, total: int) -> None:
        """Show that `done` of a stage's tokens are translated."""
        if stage not in self._tasks:
            self._tasks[stage] = self._bar.add_task(stage, total=total)
            self._stage_done = 0
        self._bar.update(self._tasks[stage], completed=done)
        self._batches += 1
        self._done += done - self._stage_done
        self._stage_done = done
        if self._batches == _FIRST_BATCHES:
            left = (self._clock() - self._started) / self._done * (self._num_tokens - self._done)
            logger.info("After %d batches: about %s to go.", _FIRST_BATCHES, duration(left))
