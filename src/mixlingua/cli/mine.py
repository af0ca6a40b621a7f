"""action=mine: hard negatives of the training sources, found with an encoder, as files to train on."""

import shlex
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from rich.console import Console

from mixlingua.cli.run_record import provenance
from mixlingua.cli.show import announce_mining, say
from mixlingua.cli.sources import open_stores
from mixlingua.distributed import local_device
from mixlingua.files import atomic_write, write_json
from mixlingua.mining.mine import MinedRow, Mining, mine
from mixlingua.mining.output import Tally, write_mined
from mixlingua.mining.pool import MiningRows, mining_rows, pools
from mixlingua.model.encoder import BiEncoder
from mixlingua.report.run_tables import mining_tables
from mixlingua.retrieval.shards import SearchedCorpus, encoded
from mixlingua.retrieval.text_encoder import TextEncoder, progress_bars


def mine_negatives(cfg: DictConfig, run_dir: Path) -> dict[str, float]:
    """Mine every training source, on one device. Returns the numbers of rows and of queries left out.

    Writes mined/SOURCE.jsonl.gz for each source, then mined/data/mined.yaml, by which `data=mined` trains on them, and
    mining.json with figures about what was found.
    """
    stores, _ = open_stores(cfg)
    sources = {
        name: mining_rows(store, cfg.data.languages) for name, store in zip(cfg.data.sources, stores, strict=True)
    }
    encoder = instantiate(cfg.model).load(cfg.seed)
    encoder.to(local_device(cfg.trainer.accelerator))
    settings: Mining = instantiate(cfg.mining)
    announce_mining(cfg, run_dir, sources)

    folder = run_dir / "mined"
    files = {name: (folder / f"{name}.jsonl.gz").absolute() for name in sources}
    figures, num_rows = {}, {}
    for name, source in sources.items():
        tallies = {language: Tally() for language in source.languages}
        num_rows[name] = _mine_source(cfg, name, source, settings, encoder, files[name], tallies)
        figures[name] = {language: tally.figures() for language, tally in tallies.items()}

    _write_choice(folder / "data" / "mined.yaml", files)
    about = {**provenance(cfg, encoder), "data": list(cfg.data.sources), "mining": asdict(settings)}
    summary = {"provenance": about, "rows": num_rows, "sources": figures}
    write_json(run_dir / "mining.json", summary)
    _show(run_dir, settings, figures)
    left_out = sum(tally["left_out"] for by_language in figures.values() for tally in by_language.values())
    return {"rows": sum(num_rows.values()), "left_out": left_out}


def _mine_source(
    cfg: DictConfig, name: str, source: MiningRows, settings: Mining, encoder: BiEncoder, file: Path,
    tallies: Mapping[str, Tally],
) -> int:  # fmt: skip
    """Encode the pools of a source, mine it into a file, and count. Returns the number of rows written."""
    searched = pools(source, across_languages=settings.across_languages)
    distinct = {pool.languages: pool for pool in searched.values()}
    with progress_bars() as bars:
        encode = TextEncoder(encoder, cfg.evaluation.token_budget, cfg.evaluation.precision, bars, name)
        corpora = [
            SearchedCorpus(pool, pool.census, f"source {name}, {' '.join(languages)}")
            for languages, pool in distinct.items()
        ]
        with encoded(corpora, encode, encoder.embedding_dim, shard_size=settings.shard_size, keep=False) as shards:
            by_pool = dict(zip(distinct, shards, strict=True))
            vectors = {language: by_pool[pool.languages] for language, pool in searched.items()}
            bar = bars.add_task(f"{name}: rows", total=source.store.num_rows)

            def counted() -> Iterator[MinedRow]:
                for row in mine(source, searched, vectors, encode, settings, device=encoder.device):
                    for language, mined in row.mined.items():
                        tallies[language].add(mined, searched[language], settings.num_negatives)
                    bars.advance(bar)
                    yield row

            return write_mined(file, source, searched, counted(), settings.num_negatives)


def _write_choice(path: Path, files: Mapping[str, Path]) -> None:
    """A choice of the group `data`: `--config-dir RUN/mined data=mined` trains on every mined source."""
    reader = "mixlingua.data.readers.jsonl.JsonlReader"
    sources = {name: {"_target_": reader, "name": name, "path": str(file)} for name, file in files.items()}
    with atomic_write(path) as partial:
        partial.write_text(f"# @package data\n{OmegaConf.to_yaml(OmegaConf.create({'sources': sources}))}", "utf-8")


def _show(run_dir: Path, settings: Mining, figures: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> None:
    console = Console()
    for table in mining_tables(
        figures,
        num_negatives=settings.num_negatives,
        top_k=settings.top_k,
        across_languages=settings.across_languages,
    ):
        console.print(table, "")
    folder = run_dir / "mined"
    options = f"--config-dir {shlex.quote(str(folder))} data=mined data.num_negatives={settings.num_negatives}"
    say(f"Written: {folder}, {run_dir / 'mining.json'}.")
    say(f"Train on them: python run.py {options}")
