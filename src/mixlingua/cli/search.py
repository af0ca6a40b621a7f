"""action=search: search an index; and what a command may say of the model of an index that is there already.

The run folder of a search holds its results.
"""

import io
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf
from rich.console import Console
from rich.table import Table

from mixlingua.cli.show import say, show_table
from mixlingua.distributed import local_device
from mixlingua.errors import ConfigError, MixlinguaError, to_stderr
from mixlingua.files import write_json
from mixlingua.model.encoder import BiEncoder
from mixlingua.model.pretrained import PretrainedEncoder
from mixlingua.search.folder import IndexFolder
from mixlingua.search.retriever import Result, Retriever, check_search


def search(cfg: DictConfig, run_dir: Path) -> dict[str, float]:
    """Answer `query`, or every line of the standard input. Returns the number of results, and of queries.

    RUN/results.json holds the results of a query; of several, RUN/results.jsonl holds a line for each.
    """
    check_search([cfg.query] if cfg.query is not None else [], cfg.k, cfg.language, cfg.fair)
    check_known_model(cfg, IndexFolder.open(cfg.index.path))
    retriever = Retriever.load(
        cfg.index.path,
        encoder=given_encoder(cfg),
        device=str(local_device(cfg.trainer.accelerator)),
        token_budget=cfg.evaluation.token_budget,
    )
    if cfg.query is not None:
        results = retriever.search(str(cfg.query), cfg.k, cfg.language, cfg.fair)
        _show(results, retriever.cut_note(str(cfg.query)))
        write_json(run_dir / "results.json", [result.as_dict() for result in results])
        say(f"Results in {run_dir / 'results.json'}")
        return {"queries": 1, "results": len(results)}
    return _interactive(cfg, retriever, run_dir / "results.jsonl")


def _interactive(cfg: DictConfig, retriever: Retriever, file: Path) -> dict[str, float]:
    """Read queries until the input ends."""
    counts = {"queries": 0.0, "results": 0.0}
    terminal = sys.stdin.isatty()
    if isinstance(sys.stdin, io.TextIOWrapper):
        sys.stdin.reconfigure(errors="surrogateescape")  # a line that is not UTF-8 is refused, and the next one read
    say(f"{retriever.count:,} documents in {', '.join(retriever.languages)}. A query a line; Ctrl-D ends.")
    with file.open("a", encoding="utf-8") as kept:
        while True:
            if terminal:
                Console().print("[bold]query>[/bold] ", end="")
            line = sys.stdin.readline()
            if not line:
                return counts
            if not line.strip():
                continue
            try:
                results = retriever.search(line.strip(), cfg.k, cfg.language, cfg.fair)
            except MixlinguaError as error:
                to_stderr(f"error: {error}")
                continue
            if not terminal:
                say(line.strip(), "bold")
            _show(results, retriever.cut_note(line.strip()))
            found = {"query": line.strip(), "results": [result.as_dict() for result in results]}
            kept.write(json.dumps(found, ensure_ascii=False) + "\n")
            kept.flush()
            counts = {"queries": counts["queries"] + 1, "results": counts["results"] + len(results)}


_SNIPPET = 180  # characters


def _show(results: Sequence[Result], note: str | None) -> None:
    """A table of results: score, language, title or else id, and the beginning of the text. note: on the query."""
    if note:
        say(note, "yellow")
    table = Table(box=None, padding=(0, 1), header_style="bold")
    table.add_column("score", justify="right", no_wrap=True)
    table.add_column("language", no_wrap=True)
    table.add_column("title", overflow="fold", max_width=22)
    table.add_column("text", overflow="fold")
    for result in results:
        text = " ".join(result.text.split())
        snippet = text if len(text) <= _SNIPPET else f"{text[: _SNIPPET - 1].rstrip()}…"
        table.add_row(f"{result.score:.3f}", result.language, result.title or result.id, snippet)
    show_table(table) if results else say("No document.")


def check_known_model(cfg: DictConfig, folder: IndexFolder) -> None:
    """Raise ConfigError for a postprocess, or a precision that was typed, where an index has another one already."""
    if cfg.postprocess:
        raise ConfigError(
            f"postprocess: the index in {folder.path} has a model already, to which no layer is added. Make a new "
            "index with it, by another hydra.run.dir and without index=DIR, or leave it out (postprocess=none)."
        )
    built_in, given = str(folder.manifest.model["precision"]), str(cfg.evaluation.precision)
    if given != built_in and (typed := _typed("evaluation.precision", "trainer.precision")):
        raise ConfigError(
            f"{typed[-1]}: the index in {folder.path} was built in {built_in}, and all texts are encoded as its "
            "documents were. Leave it out, or build the index again."
        )


def model_arguments(cfg: DictConfig) -> dict[str, Any]:
    """Those of the model's recipe, as index.json keeps them."""
    arguments: Any = OmegaConf.to_container(cfg.model, resolve=True)
    if arguments.pop("_target_") != f"{PretrainedEncoder.__module__}.{PretrainedEncoder.__qualname__}":
        raise ConfigError(f"model._target_={cfg.model._target_}: an index can only name a PretrainedEncoder.")
    if Path(arguments["name_or_path"]).expanduser().is_dir():
        arguments["name_or_path"] = str(Path(arguments["name_or_path"]).expanduser().absolute())
    return dict(arguments)


def given_encoder(cfg: DictConfig) -> BiEncoder | None:
    """The encoder that the command names; None where it names none, so that the index's own is taken."""
    return PretrainedEncoder(**model_arguments(cfg)).load(cfg.seed) if _typed("model") else None


def _typed(*keys: str) -> list[str]:
    """What was typed for these keys, and for those below them."""
    arguments: Any = OmegaConf.to_container(HydraConfig.get().overrides.task, resolve=False)
    beginnings = tuple(f"{key}{sign}" for key in keys for sign in "=.")
    return [text for text in arguments if text.lstrip("+").startswith(beginnings)]
