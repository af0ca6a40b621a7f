"""What a run tells its user: the plan before it starts, and what it found at its end."""

from collections.abc import Mapping
from pathlib import Path

from omegaconf import DictConfig
from rich.console import Console
from rich.table import Table
from rich.text import Text

from mixlingua.data.codeswitch.switcher import CodeSwitcher
from mixlingua.data.rows import Side
from mixlingua.data.store import ParallelStore
from mixlingua.data.tokenizer import Cut
from mixlingua.evaluation.run_folder import read_results
from mixlingua.evaluation.suite import Task
from mixlingua.mining.pool import MiningRows
from mixlingua.model.encoder import BiEncoder
from mixlingua.report.groups import group_tables, languages_of
from mixlingua.report.page import choice_text, cut_notes
from mixlingua.report.run_tables import before_after_table
from mixlingua.translation.gate import REASONS
from mixlingua.translation.job import Cost, Job
from mixlingua.translation.output import LanguageReport
from mixlingua.translation.texts import SourceTexts


def announce_training(
    cfg: DictConfig,
    run_dir: Path,
    stores: list[ParallelStore],
    notes: list[str],
    augmentation: CodeSwitcher | None,
    encoder: BiEncoder,
    tasks: list[Task],
    cuts: Mapping[str, Mapping[Side, Cut]],
) -> None:
    """Print what will be trained on what, how it will be measured, and where the results will be.

    cuts: what training cuts of each store's texts, by its name.
    """
    languages = set(cfg.data.languages)
    table = plan_table("Training")
    for store in stores:
        held = [language for language in store.languages if language in languages]
        table.add_row(
            "data", f"{store.name}: {store.num_rows:,} rows in {len(held)} training languages ({' '.join(held)})"
        )
        if others := [language for language in store.languages if language not in languages]:
            more = f" and {len(others) - 5} more" if others[5:] else ""
            add_note(table, f"not in data.languages, so not trained on: {' '.join(others[:5])}{more}")
        for side, cut in cuts[store.name].items():
            if note := cut.note(side, sampled=True):
                add_note(table, note)
    for note in notes:
        add_note(table, note)
    steps = f"{cfg.trainer.max_steps} steps of {cfg.data.batch_size} pairs"
    table.add_row("batches", f"{choice_text(cfg.sampler)}, {steps}, seed {cfg.seed}")
    table.add_row("loss", " + ".join(f"{loss.weight:g} {name}" for name, loss in cfg.loss.items()))
    if cfg.teacher is not None:
        table.add_row("teacher", cfg.teacher.name_or_path)
    if augmentation is not None:
        table.add_row("augment", f"{augmentation.name}, probability {cfg.augmentation.probability}")
        for note in augmentation.notes:
            add_note(table, note)
    trainable = sum(p.numel() for p in encoder.parameters() if p.requires_grad)
    total = sum(p.numel() for p in encoder.parameters())
    table.add_row("model", f"{cfg.model.name_or_path}: {_count(total)} parameters, {_count(trainable)} trained")
    if cfg.adapter:
        table.add_row("adapter", choice_text(cfg.adapter))
    table.add_row("device", f"{cfg.trainer.devices} x {cfg.trainer.accelerator}, {cfg.trainer.precision}")
    _add_postprocess(table, cfg)
    _add_tasks(table, tasks, "before and after" if cfg.evaluation.before else "after")
    table.add_row("results", str(run_dir))
    show_table(table)


def announce_evaluation(cfg: DictConfig, run_dir: Path, tasks: list[Task]) -> None:
    """Print what will be measured, and where the results will be."""
    table = plan_table("Evaluation")
    table.add_row("model", cfg.model.name_or_path)
    _add_postprocess(table, cfg)
    _add_tasks(table, tasks, "once")
    table.add_row("results", str(run_dir))
    show_table(table)


def announce_mining(cfg: DictConfig, run_dir: Path, sources: Mapping[str, MiningRows]) -> None:
    """Print what negatives will be found among, and where the results will be."""
    rules = cfg.mining
    table = plan_table("Mining")
    for name, source in sources.items():
        table.add_row("data", f"{name}: {source.store.num_rows:,} rows in {' '.join(source.languages)}")
    where = "all of these languages" if rules.across_languages else "the query's language"
    limit = "" if rules.margin is None else f", at least {rules.margin:g} below the row's own passage"
    table.add_row("find", f"{rules.num_negatives} of the first {rules.top_k} passages in {where}{limit}")
    table.add_row("model", cfg.model.name_or_path)
    table.add_row("results", str(run_dir))
    show_table(table)


def announce_translation(cfg: DictConfig, run_dir: Path, job: Job, costs: Mapping[str, Cost]) -> None:
    """Print what will be translated by what, what it takes, and where the results will be."""
    table = plan_table("Translation")
    table.add_row("data", f"{'+'.join(cfg.data.sources)}: {job.sources.num_rows:,} rows")
    if job.sources.num_untranslatable:
        count, source = job.sources.num_untranslatable, job.settings.source
        add_note(table, f"{count:,} rows without '{source}' stay as they are")
    table.add_row("model", f"{cfg.translator.name_or_path}, {cfg.trainer.accelerator}, {cfg.trainer.precision}")
    if cfg.translator.licence:
        table.add_row("licence", f"{cfg.translator.licence} (of the model)")
    for language, cost in costs.items():
        there = f", {cost.num_done:,} of them there already" if cost.num_done else ""
        table.add_row(
            f"{job.settings.source}->{language}",
            f"{cost.num_texts:,} distinct texts in {cost.num_pieces:,} pieces{there}; to do: {cost.num_tokens:,} "
            f"source tokens, {cost.num_batches:,} batches",
        )
    tokens, batches = (
        sum(numbers) for numbers in zip(*((c.num_tokens, c.num_batches) for c in costs.values()), strict=True)
    )
    table.add_row("in all", f"{tokens:,} source tokens, {batches:,} batches, {job.settings.num_beams} beams")
    if job.settings.gate.min_round_trip is not None:
        table.add_row("and back", "what is accepted is translated back, which about doubles it")
    table.add_row("results", str(run_dir))
    show_table(table)


def plan_table(title: str) -> Table:
    """The empty table of a plan: a column of bold words, and one of what they stand for."""
    table = Table(title=title, title_justify="left", show_header=False, box=None, padding=(0, 1))
    table.add_column(style="bold", no_wrap=True)
    table.add_column()
    return table


def add_note(table: Table, note: str) -> None:
    """A row of a plan that calls for attention."""
    table.add_row("", Text(note, style="yellow"))


def show_table(table: Table) -> None:
    """Print a table with its texts as they are: brackets, of lists and in paths, are no markup."""
    Console(markup=False).print(table)


def say(line: str, style: str | None = None) -> None:
    """Print a line as it is: brackets are no markup, numbers are not coloured, and a path that is long stays whole."""
    Console().print(Text(line), style=style, soft_wrap=True)


def _add_postprocess(table: Table, cfg: DictConfig) -> None:
    if chosen := cfg.postprocess:
        name = chosen._target_.rpartition(".")[2].lower()
        text = f"{chosen.rows_per_language:,} rows of {'+'.join(cfg.data.sources)} in each of"
        table.add_row("then" if cfg.action == "train" else "first", f"{name} from {text} {' '.join(chosen.languages)}")


def _add_tasks(table: Table, tasks: list[Task], when: str) -> None:
    for task in tasks:
        table.add_row("measure", f"{task.name} {when}: {task.size}")


def _count(parameters: int) -> str:
    return f"{parameters / 1e6:.3g}M"


def show_outcome(run_dir: Path, seen_languages: list[str] | None) -> dict[str, float]:
    """Print the tables of the run folder's results, and where they are.

    seen_languages: the languages trained on, shown apart from the others; None: no training, all shown together.
    Returns the main figures of each task by their keys in metrics.json.
    """
    after = read_results(run_dir)
    before = read_results(run_dir, "before").rows if (run_dir / "metrics_before.json").exists() else None
    if after.rows:
        console = Console()
        seen = seen_languages or languages_of(after.rows)
        console.print(before_after_table(before, after.rows, seen, after.provenance["tasks"], after.average))
        for table in group_tables(before, after.rows, after.main_metrics, after.average):
            console.print("", table)
        for note in cut_notes(after.provenance):
            console.print(Text(note, style="yellow"))
        if pretraining := after.provenance["pretraining"]:
            console.print(Text(f"Pretrained weights: {pretraining}.", style="dim"))
    say(f"Results in {run_dir}; report.html shows them")
    return after.main_figures()


def duration(seconds: float) -> str:
    """Such as "2 h 5 min", "3 min" or "40 s"."""
    minutes = round(seconds / 60)
    if seconds < 90:
        return f"{round(seconds)} s"
    return f"{minutes // 60} h {minutes % 60} min" if minutes >= 60 else f"{minutes} min"


def show_translation(
    cfg: DictConfig, run_dir: Path, sources: SourceTexts, reports: Mapping[str, LanguageReport]
) -> None:
    """Print the table of what was accepted and what was rejected for which reason, and where it is."""
    met = [reason for reason in REASONS if any(reason in report.rejected for report in reports.values())]
    title = f"{sources.num_rows:,} rows, translated from {cfg.translation.source}"
    table = Table(title=title, title_justify="left", box=None, padding=(0, 1))
    for name in ("language", "texts", "accepted", *met, "ratio", "rows"):
        table.add_column(name, justify="left" if name == "language" else "right", overflow="fold")
    for language, report in reports.items():
        counts = (f"{report.rejected.get(reason, 0):,}" for reason in met)
        ratio = "" if report.ratio is None else f"{report.ratio:.2f}"
        share = f"{100 * report.accepted:.1f} %"
        table.add_row(language, f"{report.num_texts:,}", share, *counts, ratio, f"{report.num_rows:,}")
    show_table(table)
    files = ", ".join(f"{name}.jsonl.gz" for name in cfg.data.sources)
    say(f"Rows in {run_dir / 'pairs'} ({files}); read them with data=jsonl")
    if met:
        say(f"Rejected texts in {run_dir / 'rejected'}")
