"""action=push and action=export: a trained model on a hub, and in the formats of others."""

from functools import partial
from pathlib import Path

from hydra.utils import instantiate
from omegaconf import DictConfig
from rich.console import Console
from rich.markdown import Markdown
from rich.table import Table

from mixlingua.cli.show import say, show_table
from mixlingua.cli.sources import open_tasks
from mixlingua.errors import ConfigError, DataError
from mixlingua.evaluation.results import main_figures
from mixlingua.evaluation.suite import evaluate_task
from mixlingua.files import write_json
from mixlingua.hub import endpoint, upload_folder
from mixlingua.model.encoder import BiEncoder
from mixlingua.publish.card import CARD, CardSettings, missing_from, write_card
from mixlingua.publish.export import INT8, PLAIN, OnnxEncoder, check_format, export_onnx, export_sentence_transformers
from mixlingua.reading import read_status
from mixlingua.report.plain_table import figure_text
from mixlingua.retrieval.text_encoder import TextEncoder, progress_bars


def push(cfg: DictConfig, run_dir: Path) -> dict[str, float]:
    """Write the card of cfg.run anew and show what would be uploaded to cfg.repo; upload it unless cfg.dry_run.

    Returns the number of files and their bytes. Raises DataError where the run has no model or is not finished, so that
    its model and its configuration may be those of two runs, and HubError where the hub does not take it.
    """
    from huggingface_hub import ModelCard

    if not cfg.dry_run and not cfg.repo:
        raise ConfigError("repo: needs a value where files are uploaded; add repo=owner/name, or leave dry_run=true.")
    run, settings = Path(cfg.run), _card_settings(cfg)
    if (state := read_status(run).get("state")) not in (None, "finished"):
        raise DataError(
            f"run={run}: its state is '{state}' (status.json), not 'finished', and its model may not be that of its "
            f"config.yaml. Finish it first, such as by resume={run} hydra.run.dir={run}, or publish another run."
        )
    model = run / "model"
    if settings.rewrite or not (model / CARD).is_file():
        card = write_card(run, settings, name=cfg.repo)
    else:
        card = ModelCard.load(model / CARD)
    paths = (path.relative_to(model) for path in sorted(model.rglob("*")) if path.is_file())
    shown = (path for path in paths if not any(part.startswith(".") for part in path.parts))
    files = {path.as_posix(): (model / path).stat().st_size for path in shown}
    _show(cfg, files)
    if cfg.dry_run:
        Console().print(Markdown(card.text))
    for note in missing_from(card):
        say(f"The card lacks something: {note}.", "yellow")
    if cfg.dry_run:
        say("Nothing was uploaded. To upload: the same command with dry_run=false.")
    else:
        address = upload_folder(model, cfg.repo, private=cfg.private, message="Model of a mixlingua run")
        say(f"Uploaded: {address}")
    return {"push/files": len(files), "push/bytes": sum(files.values())}


def _card_settings(cfg: DictConfig) -> CardSettings:
    settings: CardSettings = instantiate(cfg.card, _convert_="all")
    return settings


def _show(cfg: DictConfig, files: dict[str, int]) -> None:
    where = f"{endpoint()}/{cfg.repo or 'OWNER/NAME'}"
    title = f"{'Would upload' if cfg.dry_run else 'Uploading'} {Path(cfg.run) / 'model'} to {where}"
    table = Table(title=title, title_justify="left", show_header=False, box=None, padding=(0, 1))
    table.add_column()
    table.add_column(justify="right")
    for name, size in [*files.items(), (f"{len(files)} files", sum(files.values()))]:
        table.add_row(name, f"{size / 1e6:,.3f} MB")
    show_table(table)


def export(cfg: DictConfig, run_dir: Path) -> dict[str, float]:
    """Write cfg.model to RUN/onnx or RUN/sentence_transformers and check it. Returns what was measured.

    RUN/export.json has the difference to the model and, with export.int8, figures on cfg.evaluation. Raises ConfigError
    for another format, ModelError where what was written gives other vectors.
    """
    check_format(cfg.to)
    encoder = instantiate(cfg.model).load(cfg.seed)
    folder = run_dir / cfg.to
    figures: dict[str, float] = {}
    if cfg.to == "onnx":
        figures["export/difference"] = export_onnx(encoder, folder, int8=cfg.export.int8)
        if cfg.export.int8:
            figures |= _cost_of_int8(cfg, encoder, folder)
    else:
        figures["export/difference"], asked = export_sentence_transformers(encoder, folder)
        by = "mixlingua and sentence-transformers" if asked else "mixlingua; sentence-transformers is not installed"
        say(f"Read again by {by}.")
    write_json(run_dir / "export.json", {"model": cfg.model.name_or_path, **figures})
    difference = figures["export/difference"]
    say(f"Written: {folder}; its vectors differ from the model's by {difference:.0e} at most.")
    return figures


def _cost_of_int8(cfg: DictConfig, encoder: BiEncoder, folder: Path) -> dict[str, float]:
    """The main metric of each task in every setting, of the model and of its 8-bit graph."""
    table = Table(title="What 8 bits cost", title_justify="left", box=None, padding=(0, 1))
    for column in ("", "model", "8 bits", "change"):
        table.add_column(column, justify="left" if not column else "right")
    figures: dict[str, float] = {}
    budget = cfg.evaluation.token_budget
    with progress_bars() as bars:
        plain = TextEncoder(encoder, budget, "32-true", bars, "model")
        small = OnnxEncoder(folder, encoder.tokenizer, INT8, token_budget=budget)
        for task in open_tasks(cfg):
            before, after = (evaluate_task(task, each).aggregate(cfg.evaluation.average) for each in (plain, small))
            for key in main_figures(before, {task.name: task.main_metric}):
                text = partial(figure_text, key.rpartition("/")[2], digits=4)
                table.add_row(key, text(before[key]), text(after[key]), text(after[key] - before[key], sign="+"))
                figures |= {f"export/float32/{key}": before[key], f"export/int8/{key}": after[key]}
    sizes = [(folder / name).stat().st_size / 1e6 for name in (PLAIN, INT8)]
    table.add_row("MB on disk", *(f"{size:,.1f}" for size in sizes), f"{sizes[1] - sizes[0]:+,.1f}")
    show_table(table)
    return figures
