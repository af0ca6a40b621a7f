"""action=encode: the vectors of a source's texts, or of a file of texts, in the run folder.

With keep_teacher_vectors=true they are also kept in the cache, where a training with that model as its teacher finds
them. Started by torchrun or srun, every process encodes its share of the shards.
"""

import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from hydra.utils import instantiate
from omegaconf import DictConfig

from mixlingua.cli.settings import EncodeSettings
from mixlingua.cli.show import plan_table, say, show_table
from mixlingua.cli.sources import open_stores
from mixlingua.data.rows import Side, id_of
from mixlingua.data.store import ParallelStore
from mixlingua.distributed import local_device
from mixlingua.errors import ConfigError, DataError
from mixlingua.files import content_hash, sha256, write_json
from mixlingua.model.encoder import BiEncoder
from mixlingua.reading import parse_json, read_json, read_lines
from mixlingua.retrieval.encode import encode as vectors_of
from mixlingua.retrieval.encode import encode_checked
from mixlingua.retrieval.kept_vectors import KeptVectors, folder_of, keys_of
from mixlingua.retrieval.shards import write_vectors
from mixlingua.retrieval.text_encoder import progress_bars
from mixlingua.search.build import share, wait


@dataclass(frozen=True)
class Texts:
    """Texts of one side. read: the ids and texts of some of their positions. identity: changes with the texts."""

    name: str
    side: Side
    count: int
    identity: str
    read: Callable[[range], tuple[list[str], list[str]]]


def encode(cfg: DictConfig, run_dir: Path) -> dict[str, float]:
    """Encode what is missing. Returns the number of texts, and of those that were encoded now.

    RUN/vectors/NAME/00000.npy holds (n, D) float32 rows, 00000.ids.json their ids, RUN/vectors/manifest.json what they
    were made of. A run that was stopped goes on in its own folder by `resume`. Raises ConfigError where that folder's
    vectors are of another model or of other texts.
    """
    settings: EncodeSettings = instantiate(cfg.encode)
    encoder = instantiate(cfg.model).load(cfg.seed)
    encoder.to(local_device(cfg.trainer.accelerator))
    fingerprint, precision = encoder.fingerprint(), cfg.evaluation.precision  # a teacher's too is taken before limits
    encoder.tokenizer = encoder.tokenizer.limited(cfg.data.max_query_length, cfg.data.max_passage_length)
    collections = [_of_file(Path(settings.path), settings.side)] if settings.path else list(_of_sources(cfg))
    folder = run_dir / "vectors"
    position, processes = share()
    if cfg.overwrite and not cfg.resume and position == 0:
        shutil.rmtree(folder, ignore_errors=True)
    _check_or_write(folder / "manifest.json", collections, settings.shard_size, encoder, fingerprint, precision)
    size = settings.shard_size
    shards = [
        (texts, folder / texts.name / f"{start // size:05d}", range(start, min(start + size, texts.count)))
        for texts in collections
        for start in range(0, texts.count, size)
    ]
    missing = [shard for shard in shards if not shard[1].with_suffix(".npy").exists()]
    if position == 0:
        _announce(cfg, run_dir, collections, sum(len(positions) for _, _, positions in missing), processes)
    kept = KeptVectors(folder_of(fingerprint, precision, encoder.embedding_dim)) if cfg.keep_teacher_vectors else None
    encoded = 0
    with progress_bars() as bars:
        bar = bars.add_task("encoding", total=sum(len(positions) for _, _, positions in missing[position::processes]))
        for texts, path, positions in missing[position::processes]:
            ids, of_shard = texts.read(positions)
            encode_texts = partial(vectors_of, encoder, token_budget=cfg.evaluation.token_budget, precision=precision)
            vectors = encode_checked(encode_texts, of_shard, texts.side, texts.name)  # type: ignore[arg-type]
            if kept is not None:
                kept.put(keys_of(encoder.tokenizer.encode(of_shard, texts.side)), vectors)
                kept.flush()  # before the shard is there, which is not encoded again
            write_json(path.with_suffix(".ids.json"), ids, indent=None)
            write_vectors(path.with_suffix(".npy"), vectors)
            encoded += len(positions)
            bars.update(bar, completed=encoded)
    if position:
        return {}
    wait(lambda: all(path.with_suffix(".npy").exists() for _, path, _ in shards))
    say(f"Vectors in {folder}.")
    return {"texts": sum(texts.count for texts in collections), "encoded": encoded}


def _of_sources(cfg: DictConfig) -> Iterator[Texts]:
    """The queries and passages of every source in every language of data.languages that it has."""
    for store in open_stores(cfg)[0]:
        for language in cfg.data.languages:
            rows = np.flatnonzero(store.holds(np.arange(store.num_rows), language))
            for side in ("query", "passage"):
                read = partial(_rows_of, store, rows, side, language)
                identity = content_hash(store.fingerprint, language, side)
                if len(rows):
                    yield Texts(f"{store.name}.{language}.{side}", side, len(rows), identity, read)


def _rows_of(
    store: ParallelStore, rows: np.ndarray, side: Side, language: str, positions: range
) -> tuple[list[str], list[str]]:
    chosen = rows[positions.start : positions.stop].tolist()
    return store.ids(chosen), store.texts(chosen, side, [language] * len(chosen))


def _of_file(path: Path, side: Side) -> Texts:
    """A file with a text in each line, whose id is the line's number; or .jsonl with "id" and "text"."""
    ids, texts = [], []
    for number, line in read_lines(path):
        if ".jsonl" in path.suffixes:
            row = parse_json(line, f"{path}:{number}")
            if not isinstance(row, dict) or not isinstance(row.get("text"), str):
                raise DataError(f'{path}:{number}: no "text"; every line needs "text", and may have an "id".')
            ids.append(id_of(row.get("id", number), f"{path}:{number}: id"))
            texts.append(row["text"])
        else:
            ids.append(str(number))
            texts.append(line)

    def read(positions: range) -> tuple[list[str], list[str]]:
        return ids[positions.start : positions.stop], texts[positions.start : positions.stop]

    return Texts(path.name.partition(".")[0], side, len(texts), sha256(path), read)


def _check_or_write(
    path: Path, collections: Sequence[Texts], shard_size: int, encoder: BiEncoder, fingerprint: str, precision: str
) -> None:
    """Raise ConfigError where the vectors that are there are of something else."""
    lengths = encoder.tokenizer.max_length
    manifest: dict[str, Any] = {
        "model": fingerprint, "precision": precision, "dim": encoder.embedding_dim, "shard_size": shard_size,
        "max_length": lengths,
        "texts": [{"name": of.name, "side": of.side, "count": of.count, "hash": of.identity} for of in collections],
    }  # fmt: skip
    if path.exists():
        there = read_json(path)
        if changed := [key for key in manifest if not isinstance(there, dict) or there.get(key) != manifest[key]]:
            raise ConfigError(
                f"{path.parent}: the vectors there differ in {', '.join(changed)}. Use another hydra.run.dir, or the "
                "settings that they were made with."
            )
        return
    write_json(path, manifest)


def _announce(cfg: DictConfig, run_dir: Path, collections: Sequence[Texts], missing: int, processes: int) -> None:
    table = plan_table("Encoding")
    total = sum(texts.count for texts in collections)
    there = f", {total - missing:,} of them encoded already" if missing < total else ""
    table.add_row("texts", f"{total:,} in {len(collections)} files or languages{there}")
    together = f", in {processes} processes" if processes > 1 else ""
    table.add_row("model", f"{cfg.model.name_or_path}, {cfg.evaluation.precision}{together}")
    if cfg.keep_teacher_vectors:
        table.add_row("kept", "in the cache, for a training with this model as its teacher")
    table.add_row("results", str(run_dir))
    show_table(table)
