"""Time and memory of an evaluation over a corpus that is shaped like MIRACL's: short passages, one process.

    python benchmarks/corpus.py [--passages 1000000] [--queries 1000] [--kill-at 0.5] [--folder DIR]
    python benchmarks/corpus.py --small

Texts are synthetic and distinct; the encoder is `tiny` (width 32), so that what is measured is the corpus, not a model.
With --kill-at the evaluation is killed once that share of its shards is on disk, and started again: what the second
process encodes, and whether every query's value is that of an evaluation that was not killed.

The last line is a JSON object: seconds and memory (peak MiB after each part) of the whole evaluation, and with
--kill-at whether the values are equal.
"""

import argparse
import gzip
import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

SHARD_SIZE = 16_384
PART = 500_000  # passages in a file, as in MIRACL
WORDS = [a + b + c for a in "bdfghklmnprstvwz" for b in "aeiou" for c in ("na", "ri", "to", "sel", "mund", "keb")]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--passages", type=int, default=1_000_000)
    parser.add_argument("--queries", type=int, default=1000)
    parser.add_argument("--kill-at", type=float, help="share of the shards, 0 to 1")
    parser.add_argument("--folder", type=Path, help="where corpus and cache go; a temporary folder by default")
    parser.add_argument("--small", action="store_true", help="few passages: whether it runs, not how fast")
    parser.add_argument("--evaluate", type=Path, help=argparse.SUPPRESS)  # what the processes are started with
    arguments = parser.parse_args()
    if arguments.evaluate:
        _evaluate(arguments.evaluate, arguments.passages)
        return
    if arguments.small:
        arguments.passages, arguments.queries = 2_000, 20
    with tempfile.TemporaryDirectory(dir=arguments.folder) as name:
        folder = Path(name)
        start = time.perf_counter()
        _write(folder, arguments.passages, arguments.queries)
        took = time.perf_counter() - start
        print(f"{arguments.passages:,} passages, {arguments.queries:,} queries: written in {took:.0f} s")
        whole = _run(folder, arguments.passages, "whole")
        if arguments.kill_at is not None:
            _kill(folder, arguments.passages, arguments.kill_at)
            again = _run(folder, arguments.passages, "killed")
            whole["equal"] = again["values"] == whole["values"]
            print(f"values of all queries equal: {whole['equal']}")
    print(json.dumps({key: value for key, value in whole.items() if key in ("seconds", "memory", "equal")}))


def _passage(number: int) -> dict[str, str]:
    """A title of two words and a text of eight, no two alike."""
    words = [WORDS[(number * step + number // 7) % len(WORDS)] for step in (1, 3, 7, 11, 13, 17, 19, 23, 29)]
    return {
        "docid": f"{number // 5}#{number % 5}",
        "title": " ".join(words[:2]),
        "text": f"{' '.join(words[1:])} {number}",
    }


def _write(folder: Path, passages: int, queries: int) -> None:
    corpus = folder / "miracl-corpus-v1.0-en"
    corpus.mkdir()
    for part in range(-(-passages // PART)):
        with gzip.open(corpus / f"docs-{part}.jsonl.gz", "wt", encoding="utf-8", compresslevel=1) as file:
            for number in range(part * PART, min((part + 1) * PART, passages)):
                file.write(json.dumps(_passage(number)) + "\n")
    chosen = [number * passages // queries for number in range(queries)]
    topics = (f"{query}\t{_passage(number)['text']}?\n" for query, number in enumerate(chosen))
    (folder / "topics.miracl-v1.0-en-dev.tsv").write_text("".join(topics))
    near = (
        (query, number, int(shift < 2))
        for query, n in enumerate(chosen)
        for shift in range(3)
        if (number := n + shift) < passages
    )
    qrels = (f"{query}\tQ0\t{_passage(number)['docid']}\t{grade}\n" for query, number, grade in near)
    (folder / "qrels.miracl-v1.0-en-dev.tsv").write_text("".join(qrels))


def _evaluate(folder: Path, passages: int) -> None:
    """One evaluation; prints what it took as JSON."""
    from mixlingua.evaluation.benchmarks.miracl import miracl
    from mixlingua.evaluation.suite import evaluate_encoder
    from mixlingua.model.pretrained import PretrainedEncoder
    from mixlingua.retrieval import shards

    seconds, memory = {"encode": 0.0}, {"start": _peak()}
    encode_corpus = shards.encode_corpus

    def timed(*arguments: Any) -> None:
        start = time.perf_counter()
        encode_corpus(*arguments)
        seconds["encode"] += time.perf_counter() - start
        memory["encode"] = _peak()

    shards.encode_corpus = timed
    encoder = PretrainedEncoder("tiny", pooling="mean", max_query_length=64, max_passage_length=128).load(seed=0)
    memory["model"] = _peak()
    task = miracl(folder, ["en"], shard_size=SHARD_SIZE)
    start = time.perf_counter()
    assert task.censuses["en"].num_passages == passages
    seconds["census"], memory["census"] = time.perf_counter() - start, _peak()
    start = time.perf_counter()
    (result,) = evaluate_encoder(encoder, [task], token_budget=8192, precision="32-true")
    seconds["search"], memory["search"] = time.perf_counter() - start - seconds["encode"], _peak()
    values = {name: column.tolist() for name, column in result.per_query["monolingual"].values.items()}
    print(json.dumps({"seconds": seconds, "memory": memory, "values": values, "averages": result.aggregate()}))


def _peak() -> float:
    """The most resident memory so far, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _start(folder: Path, passages: int, cache: str) -> subprocess.Popen[str]:
    command = [sys.executable, __file__, "--evaluate", str(folder), "--passages", str(passages)]
    environment = os.environ | {"MIXLINGUA_CACHE": str(folder / cache)}
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)


def _run(folder: Path, passages: int, cache: str) -> dict:
    num_shards = len(_shards(folder, cache))
    start = time.perf_counter()
    printed, _ = (process := _start(folder, passages, cache)).communicate()
    if process.returncode:
        sys.exit(f"the evaluation failed with status {process.returncode}")
    report: dict = json.loads(printed.splitlines()[-1])
    total = time.perf_counter() - start
    took = ", ".join(f"{name} {value:.0f} s" for name, value in report["seconds"].items())
    peaks = ", ".join(f"{name} {value:,.0f}" for name, value in report["memory"].items())
    averages = ", ".join(f"{key} {value:.4f}" for key, value in report["averages"].items() if key.endswith("_at_10"))
    print(f"evaluated in {total:.0f} s with {num_shards} shards there ({took}); {averages}")
    print(f"  peak memory after each, MiB: {peaks}")
    return report


def _kill(folder: Path, passages: int, share: float) -> None:
    wanted = int(share * -(-passages // SHARD_SIZE))
    process = _start(folder, passages, "killed")
    while len(_shards(folder, "killed")) < wanted:
        if process.poll() is not None:
            sys.exit("the evaluation ended before it could be killed")
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    print(f"killed with {len(_shards(folder, 'killed'))} shards there")


def _shards(folder: Path, cache: str) -> list[Path]:
    return list((folder / cache / "vectors").glob("*/*.npy"))


if __name__ == "__main__":
    main()
