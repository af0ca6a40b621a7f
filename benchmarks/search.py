"""Time and memory of an index of many passages: building it, and one query after another.

    python benchmarks/search.py [--passages 1000000] [--dim 384] [--factories Flat HNSW32 SQ8 BFlat IVF1024,PQ48x8]
    python benchmarks/search.py --small

Vectors are random unit vectors around 20,000 centres, so that what is measured is the index, not a model. Rows are
read, stored and found as in a real index. Every factory is built in a process of its own and searched in another one,
each with its peak memory. Queries are further vectors around the centres. The last line is JSON. --small: 5,000
passages of 64 components, for tests. With --folder the index is kept, and --search measures the queries alone again.
"""

import argparse
import json
import multiprocessing
import os
import platform
import resource
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

import numpy as np

CENTRES = 20_000
SHARD = 16_384
QUERIES = 200
QUERY_SEED = 10**9
WORDS = [a + b + c for a in "bdfghklmnprstvwz" for b in "aeiou" for c in ("na", "ri", "to", "sel", "mund", "keb")]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--passages", type=int, default=1_000_000)
    parser.add_argument("--dim", type=int, default=384)
    parser.add_argument("--factories", nargs="+", default=["Flat", "SQ8", "BFlat", "IVF1024,PQ48x8", "HNSW32"])
    parser.add_argument("--folder", type=Path, help="where the index goes, and stays; else a temporary folder")
    parser.add_argument("--search", action="store_true", help="search what an earlier run left in --folder")
    parser.add_argument("--small", action="store_true")
    arguments = parser.parse_args()
    if arguments.small:
        arguments.passages, arguments.dim = 5_000, 64
        arguments.factories = ["Flat", "BFlat", "IVF16,Flat"]
    if arguments.folder:
        _run(arguments.folder, arguments)
    else:
        with tempfile.TemporaryDirectory() as name:
            _run(Path(name), arguments)


def _run(folder: Path, arguments: argparse.Namespace) -> None:
    about = {"hardware": f"{platform.processor() or platform.machine()}, {os.cpu_count()} hardware threads, "
             f"{os.environ.get('OMP_NUM_THREADS', 'all')} used", "passages": arguments.passages,
             "dim": arguments.dim, "shard_size": SHARD}  # fmt: skip
    rows: dict[str, Any] = {}
    if not arguments.search:
        folder.mkdir(parents=True, exist_ok=True)
        rows = _alone(_write, folder, arguments.passages, arguments.dim)
        print(f"{arguments.passages:,} passages of {arguments.dim} components: rows {rows['rows_seconds']:.0f} s, "
              f"vectors {rows['vectors_seconds']:.0f} s, peak {rows['peak_mib']:.0f} MiB", flush=True)  # fmt: skip
    print(f"{'factory':16} {'build s':>8} {'peak MiB':>9} {'disk MiB':>9} {'recall@10':>10} {'p50 ms':>8} "
          f"{'p99 ms':>8} {'search MiB':>10}")  # fmt: skip
    factories: dict[str, Any] = {}
    for number, factory in enumerate(arguments.factories, start=1):
        built = {} if arguments.search else _alone(_build, folder, factory, number)
        found = _alone(_search, folder, number)
        factories[factory] = {"build": built, "search": found}
        build = f"{built['seconds']:8.1f} {built['peak_mib']:9.0f} {built['disk_mib']:9.0f}" if built else " " * 28
        print(f"{factory:16} {build} {found['recall_at_10']:10.3f} {found['p50_ms']:8.2f} {found['p99_ms']:8.2f} "
              f"{found['peak_mib']:10.0f}", flush=True)  # fmt: skip
    print(json.dumps({"about": about, "rows": rows, "factories": factories}))


def _alone(work: Any, *arguments: Any) -> dict[str, Any]:
    """What a function returns in a process of its own, with that process' peak memory."""
    context = multiprocessing.get_context("spawn")
    with context.Pool(1) as pool:
        result: dict[str, Any] = pool.apply(_measured, (work, arguments))
    return result


def _measured(work: Any, arguments: tuple[Any, ...]) -> dict[str, Any]:
    result = work(*arguments)
    return {**result, "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}


def _vectors(start: int, count: int, dim: int, noise: float = 0.9) -> np.ndarray:
    """Unit vectors near centres, a function of the position."""
    centres = np.random.default_rng(0).standard_normal((CENTRES, dim), dtype=np.float32)
    drawn = np.random.default_rng((1, start))
    vectors = centres[drawn.integers(CENTRES, size=count)]
    vectors += noise * drawn.standard_normal((count, dim), dtype=np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def _index(folder: Path) -> Any:
    from mixlingua.search.engines import FaissSettings
    from mixlingua.search.folder import IndexFolder, Manifest

    about = json.loads((folder / "size.json").read_text())
    shards = tuple(min(SHARD, about["passages"] - start) for start in range(0, about["passages"], SHARD))
    return IndexFolder(folder, Manifest(shards, about["dim"], {}, FaissSettings(shard_size=SHARD).record()))


def _documents(passages: int) -> Iterator[Any]:
    from mixlingua.search.documents import Document

    for number in range(passages):
        words = [WORDS[(number * step + number // 7) % len(WORDS)] for step in (1, 3, 7, 11, 13, 17, 19, 23, 29)]
        language = ("de", "en", "fr", "sw")[number % 4]
        yield Document(str(number), words[0], f"{' '.join(words)} {number}", language, f"made:{number}")


def _write(folder: Path, passages: int, dim: int) -> dict[str, Any]:
    """The rows, by the reader of a real index, and the vectors."""
    import torch

    from mixlingua.model.pretrained import PretrainedEncoder
    from mixlingua.retrieval.shards import write_vectors
    from mixlingua.search.documents import Corpus
    from mixlingua.search.engines import FaissSettings
    from mixlingua.search.reading import Reader

    class Made(Corpus):
        def documents(self) -> Iterator[Any]:
            return _documents(passages)

        def identity(self) -> str:
            return str(passages)

        def describe(self) -> dict[str, Any]:
            return {"name": "made"}

    (folder / "size.json").write_text(json.dumps({"passages": passages, "dim": dim}))
    tokenizer = PretrainedEncoder("tiny", pooling="mean", query_prefix="", passage_prefix="").load(0).tokenizer
    index = _index(folder).changed(shards=())
    started = time.monotonic()
    reading = Reader(Made(), FaissSettings(shard_size=SHARD), tokenizer, index, lambda *_: None).read("")
    assert reading.num_documents == reading.num_windows == passages
    read = time.monotonic()
    for shard, count in enumerate(reading.shards):
        write_vectors(index.vectors_file(shard), torch.from_numpy(_vectors(shard, count, dim)))
    return {"rows_seconds": read - started, "vectors_seconds": time.monotonic() - read}


def _build(folder: Path, factory: str, number: int) -> dict[str, Any]:
    """The engine of a factory over the vectors, made as in the building of a real index."""
    from mixlingua.search.engines import FaissSettings

    candidates = {"SQ8": 4, "BFlat": 20}.get(factory, 10 if "PQ" in factory else 1)
    settings = FaissSettings(shard_size=SHARD, factory=factory, candidates=candidates, recall_queries=0)
    index = _index(folder).changed(index=settings.record(), generation=number)
    started = time.monotonic()
    settings.check(index.manifest.dim, index.num_rows)
    index = index.changed(**settings.fill(index, 0))
    seconds = time.monotonic() - started
    index.commit()
    shutil.copy(folder / "index.json", folder / f"{number}.json")
    engine = folder / str(index.manifest.engine)
    return {"seconds": seconds, "disk_mib": engine.stat().st_size / 2**20 if engine.is_file() else 0.0}


def _search(folder: Path, number: int) -> dict[str, Any]:
    """The time of one query after another, after one round that reads the files; and recall against exact search."""
    from mixlingua.search.engines import exact
    from mixlingua.search.folder import IndexFolder
    from mixlingua.search.retriever import settings_of

    shutil.copy(folder / f"{number}.json", folder / "index.json")
    index = IndexFolder.open(folder)
    queries = _vectors(QUERY_SEED, QUERIES, index.manifest.dim)
    engine = settings_of(index).open(index)
    found = engine.search(queries, 10, None).rows.tolist()
    times = []
    for query in range(QUERIES):
        started = time.perf_counter()
        rows = engine.search(queries[query : query + 1], 10, None).rows[0]
        for row in rows.tolist():
            index.row(row)
        times.append(1000 * (time.perf_counter() - started))
    right = exact(queries, index, 10, None).rows.tolist()
    recall = np.mean([len({*a} & {*b}) / 10 for a, b in zip(found, right, strict=True)])
    p50, p99 = np.percentile(times, [50, 99])
    return {"recall_at_10": float(recall), "p50_ms": float(p50), "p99_ms": float(p99), "queries": QUERIES}


if __name__ == "__main__":
    main()
