"""action=mine: hard negatives of the training sources, found with an encoder; leave files to train on."""

import json
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from rich.console import Console

from mixlingua.cli.run_record import provenance
from mixlingua.cli.show import announce_mining
from mixlingua.cli.train import open_stores
from mixlingua.evaluation.suite import TextEncoder, progress_bars
from mixlingua.files import atomic_write, content_hash
from mixlingua.mining.mine import MinedRow, Rules, mine
from mixlingua.mining.output import Tally, write_mined
from mixlingua.mining.pool import MiningRows, Pool, mining_rows, pools
from mixlingua.model.encoder import BiEncoder
from mixlingua.report.page import rich_table
from mixlingua.report.run_tables import mining_tables
from mixlingua.retrieval.corpus import Census
from mixlingua.retrieval.shards import Part, encoded


def mine_negatives(cfg: DictConfig, run_dir: Path) -> dict[str, float]:
    """Mine every training source, on one device. Writes mined/SOURCE.jsonl.gz, and then mined/data/mined.yaml, which
    makes them a choice, and mining.json with what was found. Returns the numbers of rows and of queries left out."""
    stores, _ = open_stores(cfg)
    sources = {
        name: mining_rows(store, cfg.data.languages) for name, store in zip(cfg.data.sources, stores, strict=True)
    }
    encoder = instantiate(cfg.model).load(cfg.seed)
    encoder.to(torch.device("cpu" if cfg.trainer.accelerator == "cpu" else "cuda"))
    announce_mining(cfg, run_dir, sources)
    files, figures, rows = {}, {}, {}
    for name, source in sources.items():
        files[name] = (run_dir / "mined" / f"{name}.jsonl.gz").absolute()
        tallies = {language: Tally() for language in source.languages}
        rows[name] = _mine_source(cfg, name, source, encoder, files[name], tallies)
        figures[name] = {language: tally.figures() for language, tally in tallies.items()}
    _write_choice(run_dir / "mined" / "data" / "mined.yaml", files)
    summary = {"provenance": _provenance(cfg, encoder), "rows": rows, "sources": figures}
    with atomic_write(run_dir / "mining.json") as partial:
        partial.write_text(json.dumps(summary, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    _show(cfg, run_dir, figures)
    left_out = sum(own["left_out"] for by_language in figures.values() for own in by_language.values())
    return {"rows": sum(rows.values()), "left_out": left_out}


def _mine_source(
    cfg: DictConfig, name: str, source: MiningRows, encoder: BiEncoder, file: Path, tallies: Mapping[str, Tally]
) -> int:
    settings: Any = OmegaConf.to_container(cfg.mining)
    shard_size = settings.pop("shard_size")
    rules = Rules(**settings)
    searched = pools(source, across_languages=rules.across_languages)
    distinct = {pool.languages: pool for pool in searched.values()}
    with progress_bars() as bars:
        encode = TextEncoder(encoder, cfg.evaluation.token_budget, cfg.evaluation.precision, bars, name)
        parts = [Part(pool, _census(pool), f"source {name}, {' '.join(pool.languages)}") for pool in distinct.values()]
        with encoded(parts, encode, encoder.embedding_dim, shard_size=shard_size, keep=False) as shards:
            vectors = dict(zip(distinct, shards, strict=True))
            by_language = {language: vectors[pool.languages] for language, pool in searched.items()}
            bar = bars.add_task(f"{name}: rows", total=source.store.num_rows)

            def counted() -> Iterator[MinedRow]:
                for row in mine(
                    source, searched, by_language, encode, rules, rows_at_once=shard_size, device=encoder.device
                ):
                    for language, mined in row.found.items():
                        tallies[language].add(mined, searched[language], rules.num_negatives)
                    bars.advance(bar)
                    yield row

            return write_mined(file, source, searched, counted(), rules.num_negatives)


def _census(pool: Pool) -> Census:
    """What a reading would find: a pool's passages are distinct, and its store says what they are."""
    identity = content_hash("mining", pool.source.store.fingerprint, " ".join(pool.languages))
    return Census(identity, len(pool), {}, np.zeros((0, 2), np.int64))


def _write_choice(path: Path, files: Mapping[str, Path]) -> None:
    """conf/data has such files: `--config-dir RUN/mined data=mined` trains on every mined source."""
    reader = "mixlingua.data.readers.jsonl.JsonlReader"
    sources = {name: {"_target_": reader, "name": name, "path": str(file)} for name, file in files.items()}
    with atomic_write(path) as partial:
        partial.write_text(f"# @package data\n{OmegaConf.to_yaml(OmegaConf.create({'sources': sources}))}", "utf-8")


def _provenance(cfg: DictConfig, encoder: BiEncoder) -> dict[str, object]:
    """Where the negatives come from. The file of a source is known by its store's fingerprint."""
    chosen: Any = OmegaConf.to_container(cfg.mining)
    return {**provenance(cfg, encoder), "data": list(cfg.data.sources), "mining": chosen}


def _show(cfg: DictConfig, run_dir: Path, figures: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> None:
    rules = cfg.mining
    console = Console()
    for table in mining_tables(
        figures, num_negatives=rules.num_negatives, top_k=rules.top_k, across_languages=rules.across_languages
    ):
        console.print(rich_table(table))
        console.print()
    chosen = f"--config-dir {shlex.quote(str(run_dir / 'mined'))} data=mined data.num_negatives={rules.num_negatives}"
    console.print(f"Written: {run_dir / 'mined'}, {run_dir / 'mining.json'}.", soft_wrap=True, highlight=False)
    console.print(f"Train on them: python run.py {chosen}", soft_wrap=True, highlight=False)
