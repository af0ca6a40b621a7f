"""The short plan of what a run will do, printed before it starts."""

from collections.abc import Mapping
from pathlib import Path

from omegaconf import DictConfig
from rich.console import Console
from rich.table import Table

from mixlingua.data.store import ParallelStore
from mixlingua.data.switcher import CodeSwitcher
from mixlingua.evaluation.suite import Task
from mixlingua.model.encoder import BiEncoder
from mixlingua.report.provenance_rows import choice_text
from mixlingua.retrieval.mining_pool import MiningRows


def announce_training(
    cfg: DictConfig,
    run_dir: Path,
    stores: list[ParallelStore],
    notes: list[str],
    augmentation: CodeSwitcher | None,
    encoder: BiEncoder,
    tasks: list[Task],
) -> None:
    """Print what will be trained on what, how it will be measured, and where the results will be."""
    languages = set(cfg.data.languages)
    table = plan_table("Training")
    for store in stores:
        held = [language for language in store.languages if language in languages]
        table.add_row(
            "data", f"{store.name}: {store.num_rows:,} rows in {len(held)} training languages ({' '.join(held)})"
        )
    for note in notes:
        table.add_row("", f"[yellow]{note}[/yellow]")
    steps = f"{cfg.trainer.max_steps} steps of {cfg.data.batch_size} pairs"
    table.add_row("batches", f"{choice_text(cfg.sampler)}, {steps}, seed {cfg.seed}")
    table.add_row("loss", " + ".join(f"{loss.weight:g} {name}" for name, loss in cfg.loss.items()))
    if cfg.teacher is not None:
        table.add_row("teacher", cfg.teacher.name_or_path)
    if augmentation is not None:
        table.add_row("augment", f"{augmentation.name}, probability {cfg.augmentation.probability}")
        for note in augmentation.notes:
            table.add_row("", f"[yellow]{note}[/yellow]")
    trainable = sum(p.numel() for p in encoder.parameters() if p.requires_grad)
    total = sum(p.numel() for p in encoder.parameters())
    table.add_row("model", f"{cfg.model.name_or_path}: {_count(total)} parameters, {_count(trainable)} trained")
    if cfg.adapter:
        table.add_row("adapter", choice_text(cfg.adapter))
    table.add_row("device", f"{cfg.trainer.devices} x {cfg.trainer.accelerator}, {cfg.trainer.precision}")
    _add_postprocess(table, cfg)
    _add_tasks(table, tasks, "before and after" if cfg.evaluation.before else "after")
    table.add_row("results", str(run_dir))
    Console().print(table)


def announce_evaluation(cfg: DictConfig, run_dir: Path, tasks: list[Task]) -> None:
    """Print what will be measured, and where the results will be."""
    table = plan_table("Evaluation")
    table.add_row("model", cfg.model.name_or_path)
    _add_postprocess(table, cfg)
    _add_tasks(table, tasks, "once")
    table.add_row("results", str(run_dir))
    Console().print(table)


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
    Console().print(table)


def plan_table(title: str) -> Table:
    """A table of what will be done: a bold word, and what is said to it."""
    table = Table(title=title, title_justify="left", show_header=False, box=None, padding=(0, 1))
    table.add_column(style="bold", no_wrap=True)
    table.add_column()
    return table


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
