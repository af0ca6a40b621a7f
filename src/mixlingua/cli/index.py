"""action=index: make an index of documents, or add documents to one and take some out.

The run folder is the index.
"""

import platform
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import torch
from hydra.utils import instantiate
from numpy.typing import NDArray
from omegaconf import DictConfig, OmegaConf

import mixlingua
from mixlingua.cli.search import check_known_model, given_encoder, model_arguments
from mixlingua.cli.show import add_note, duration, plan_table, say, show_table
from mixlingua.cli.sources import open_stores
from mixlingua.distributed import local_device
from mixlingua.errors import ConfigError
from mixlingua.files import lock, write_json
from mixlingua.model.encoder import BiEncoder
from mixlingua.model.folder import save_folder
from mixlingua.model.pretrained import PretrainedEncoder
from mixlingua.reading import read_json
from mixlingua.retrieval.text_encoder import progress_bars
from mixlingua.search.build import Build, Cost, delete, empty_index, rows_to_delete, share, wait
from mixlingua.search.card import engine_line, language_line, notes, write_card
from mixlingua.search.documents import Atlas, Corpus
from mixlingua.search.encoding import OWN_MODEL, Encoding
from mixlingua.search.folder import FITTED, MANIFEST, READING, ExistingIndex, IndexFolder, remove_index
from mixlingua.search.reading import Progress, Reading
from mixlingua.search.retriever import settings_of
from mixlingua.search.settings import IndexSettings
from mixlingua.training.end_of_training import append_postprocess


def index(cfg: DictConfig, run_dir: Path) -> dict[str, float]:
    """Build an index in the run folder, or change the one of `index=DIR`. Returns documents and windows.

    Every process of torchrun or srun calls this; all but the first only encode, and return nothing.
    """
    settings = instantiate(cfg.index)
    position, processes = share()
    if not isinstance(settings, ExistingIndex):
        with lock(run_dir / MANIFEST) if position == 0 else nullcontext():
            folder = _build(cfg, run_dir, settings)
    elif processes > 1:
        raise ConfigError(
            f"index={settings.path}: an index is changed by one process, and there are {processes}. Start the command "
            "without torchrun or srun."
        )
    else:
        with lock(Path(settings.path).expanduser() / MANIFEST):
            folder = _changed(cfg, settings)
    if folder is None:
        return {}
    settings = settings_of(folder)
    write_card(folder, settings)
    documents = sum(folder.num_documents.values())
    say(f"Index in {folder.path}: {documents:,} documents in {len(folder.languages)} languages.")
    say(engine_line(settings, folder.manifest.about))
    say(f'Search it: python run.py action=search index={folder.path} query="..."')
    return {"documents": documents, "windows": folder.num_rows - int(folder.deleted.sum())}


def _build(cfg: DictConfig, run_dir: Path, settings: IndexSettings) -> IndexFolder | None:
    if cfg.resume and Path(cfg.resume).resolve() != run_dir.resolve():
        raise ConfigError(
            f"resume={cfg.resume}: an index is finished in its own folder; add hydra.run.dir={cfg.resume}."
        )
    position, processes = share()
    corpus = instantiate(cfg.corpus) if cfg.corpus else Atlas()
    anew = cfg.overwrite and not cfg.resume
    if processes == 1 and (anew or (run_dir / MANIFEST).exists()):
        return _replaced(cfg, run_dir, corpus, settings)
    if anew and position == 0:
        if (run_dir / "rows").exists() or (run_dir / FITTED).exists():
            raise ConfigError(
                f"overwrite=true: {run_dir} holds an index, and the other {processes - 1} processes may have begun to "
                "read it. Remove the folder first, or choose another hydra.run.dir."
            )
        remove_index(run_dir)
    encoding = _new_encoding(cfg, run_dir)
    return _added(empty_index(run_dir, settings, encoding), corpus, settings, encoding)


def _replaced(cfg: DictConfig, run_dir: Path, corpus: Corpus, settings: IndexSettings) -> IndexFolder | None:
    """Read the documents beside the index in the run folder, and only then put them in its place, not yet encoded.

    So an index outlasts documents, or settings, that cannot become one.
    """
    if cfg.postprocess and (run_dir / OWN_MODEL).exists() and not (run_dir / FITTED).exists():
        raise ConfigError(f"{run_dir / OWN_MODEL}: a model that is not the index's. Choose another hydra.run.dir.")
    beside = run_dir / ".new"
    shutil.rmtree(beside, ignore_errors=True)
    beside.mkdir()
    try:
        encoding = _new_encoding(cfg, beside)
        return _added(empty_index(beside, settings, encoding), corpus, settings, encoding, place=run_dir)
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def _moved(beside: IndexFolder, place: Path) -> IndexFolder:
    """What was read for an index, in the place of the index that is there."""
    remove_index(place)
    for name in (OWN_MODEL, FITTED, "rows", READING):  # by the last one they count as read
        if (beside.path / name).exists():
            (beside.path / name).rename(place / name)
    return IndexFolder(place, beside.manifest)


def _changed(cfg: DictConfig, existing: ExistingIndex) -> IndexFolder | None:
    """An index with documents more, or fewer; both at once where both are asked for."""
    folder = IndexFolder.open(existing.path)
    ids = existing.ids()
    if not ids and not cfg.corpus:
        raise ConfigError(
            f"index={existing.path}: there is an index already; add documents by corpus=PATH, or take some out by "
            "'index.delete=[ID,ID]'."
        )
    check_known_model(cfg, folder)
    settings = settings_of(folder)
    encoding = Encoding.of_index(folder, given_encoder(cfg), token_budget=cfg.evaluation.token_budget)
    encoding.encoder.to(local_device(cfg.trainer.accelerator))
    changed: IndexFolder | None
    if cfg.corpus:
        changed = _added(folder, instantiate(cfg.corpus), settings, encoding, rows_to_delete(folder, ids))
    else:
        changed = delete(folder, settings, encoding, ids)
    if ids:
        print(f"{len(set(ids)):,} documents deleted.")
    return changed


def _added(
    base: IndexFolder,
    corpus: Corpus,
    settings: IndexSettings,
    encoding: Encoding,
    gone: NDArray[np.int64] | None = None,
    place: Path | None = None,
) -> IndexFolder | None:
    """The index with the documents of a corpus; None in a process that only helps to encode them.

    gone: rows of the index that are taken out of it at the same time. place: the folder in which it replaces an index
    once the documents are known to be right.
    """
    with _bars() as progress:
        build = Build(base, corpus, settings, encoding, progress, gone)
        reading = build.read()
        cost = build.cost(reading)  # refuses what cannot be indexed
        if place is not None:
            build.base = _moved(base, place)
        if build.position == 0:
            _announce(build.base, corpus, reading, cost, encoding, settings)
        started = time.monotonic()
        folder = build.encode(reading)
        if build.position:
            return None
        about = {
            "added": str(date.today()),
            "mixlingua": mixlingua.__version__,
            "hardware": _hardware(encoding.encoder),
            "processes": build.processes,
            "encoding_seconds": round(time.monotonic() - started, 1),
        }
        return build.finish(folder, reading, about)


@contextmanager
def _bars() -> Iterator[Progress]:
    """A bar for each stage, in the first process alone."""
    with progress_bars() as bars:
        tasks: dict[str, Any] = {}

        def progress(stage: str, done: int, total: int | None) -> None:
            if stage not in tasks:
                tasks[stage] = bars.add_task(stage, total=total)
            bars.update(tasks[stage], completed=done, total=total)

        yield progress


def _announce(
    base: IndexFolder, corpus: Corpus, reading: Reading, cost: Cost, encoding: Encoding, settings: IndexSettings
) -> None:
    """Print what will be encoded and what it costs."""
    table = plan_table("Index")
    described = corpus.describe()
    table.add_row("documents", f"{reading.num_documents:,} of {described.get('path') or described['name']}")
    counts = sorted(reading.languages.items(), key=lambda item: -item[1])
    shown = ", ".join(f"{language_line(code)} {count:,}" for code, count in counts[:12])
    table.add_row("languages", shown + (f" and {len(counts) - 12} more" if len(counts) > 12 else ""))
    read = {"documents": reading.num_documents, "detected": reading.num_detected, "left_out": reading.left_out}
    for note in notes({**described, **read}):
        add_note(table, note)
    done = f", {cost.num_done:,} of them encoded already" if cost.num_done else ""
    table.add_row("texts", f"{cost.num_windows:,} windows, {cost.num_tokens:,} tokens{done}")
    if base.num_rows:
        table.add_row("added to", f"{sum(base.num_documents.values()):,} documents, which are not encoded again")
    table.add_row("model", f"{encoding.model['arguments']['name_or_path']}, {encoding.model['precision']}")
    processes = f" in each of {cost.processes} processes" if cost.processes > 1 else ""
    table.add_row(
        "time", f"about {duration(cost.seconds)}, at {cost.rate:,.0f} tokens a second{processes} ({cost.sample} texts)"
    )
    table.add_row("disk", f"{cost.num_bytes / 1e6:,.1f} MB of vectors and index; {cost.free / 1e9:,.1f} GB are free")
    record = settings.record()
    table.add_row("engine", f"{record['kind']}, {record.get('factory') or record.get('uri')}")
    table.add_row("results", str(base.path))
    show_table(table)


def _new_encoding(cfg: DictConfig, run_dir: Path) -> Encoding:
    """The configured encoder; with a postprocess, a new one that is saved in the index."""
    arguments = model_arguments(cfg)
    recipe = PretrainedEncoder(**arguments)
    if cfg.postprocess:
        target = run_dir / OWN_MODEL
        if share()[0] == 0:
            _fit(cfg, recipe, run_dir)
        wait(target.exists)
        arguments = {"name_or_path": OWN_MODEL, "pretraining": cfg.model.pretraining}
        recipe = PretrainedEncoder(**{**arguments, "name_or_path": str(target)})
    encoder = recipe.load(cfg.seed).to(local_device(cfg.trainer.accelerator))
    return Encoding.of(
        encoder, arguments, cfg.seed, precision=cfg.evaluation.precision, token_budget=cfg.evaluation.token_budget
    )


def _fit(cfg: DictConfig, recipe: PretrainedEncoder, run_dir: Path) -> None:
    """Write the encoder with the layer of the postprocess, unless a stopped build has done so with equal settings.

    Raises ConfigError where the folder holds a model of other settings.
    """
    encoder = recipe.load(cfg.seed)
    given: Any = OmegaConf.to_container(cfg, resolve=True)
    settings = {name: given[name] for name in ("model", "postprocess", "seed")}
    settings |= {"data": {name: given["data"][name] for name in ("sources", "validation_fraction", "max_rows")}}
    settings |= {"evaluation.precision": given["evaluation"]["precision"], "weights": encoder.fingerprint()}
    target, record = run_dir / OWN_MODEL, run_dir / FITTED
    if target.exists():
        known = read_json(record) if record.exists() else {}
        if changed := [name for name in settings if known.get(name) != settings[name]]:
            raise ConfigError(
                f"{target}: a model that was fitted with other settings ({', '.join(changed)}). Give those that are in "
                f"{record}, or choose another hydra.run.dir."
            )
        return
    write_json(record, settings)
    encoder.to(local_device(cfg.trainer.accelerator))
    stores, _ = open_stores(cfg)
    budget, precision = cfg.evaluation.token_budget, cfg.evaluation.precision
    layer = instantiate(cfg.postprocess)
    append_postprocess(encoder, layer, stores, seed=cfg.seed, token_budget=budget, precision=precision)
    save_folder(encoder, target)


def _hardware(encoder: BiEncoder) -> str:
    if encoder.device.type == "cuda":
        return torch.cuda.get_device_name(encoder.device)
    return f"{platform.processor() or platform.machine()}, {torch.get_num_threads()} threads"
