"""action=encode from the command line: vectors on disk, which a stopped run goes on from and a training learns from."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from mixlingua import load_encoder

Launch = Callable[..., int]
ENCODE = ("action=encode",)


def written(cache: Path) -> set[Path]:
    return {path for path in (cache / "kept").rglob("*.npy")}


def stop(run: Path) -> None:
    """Make a finished run one that was interrupted."""
    status = json.loads((run / "status.json").read_text())
    (run / "status.json").write_text(json.dumps(status | {"state": "interrupted"}))


def test_vectors_of_a_source_are_those_of_the_encoder_and_a_stopped_run_goes_on(launch: Launch, tmp_path: Path) -> None:
    given = (*ENCODE, "encode.shard_size=25", "hydra.run.dir=out")
    assert launch(*given) == 0
    out = tmp_path / "out" / "vectors"
    manifest = json.loads((out / "manifest.json").read_text())
    assert [(of["name"], of["count"]) for of in manifest["texts"]][:2] == [
        ("jsonl.de.query", 60),
        ("jsonl.de.passage", 60),
    ]
    shards = sorted((out / "jsonl.en.passage").glob("*.npy"))
    assert [len(np.load(path)) for path in shards] == [25, 25, 10]
    rows = [json.loads(line) for line in (tmp_path / "pairs.jsonl").read_text().splitlines()]
    ids = [name for path in shards for name in json.loads(path.with_suffix(".ids.json").read_text())]
    by_id = {row["id"]: row["passages"]["en"] for row in rows}
    expected = load_encoder("tiny").encode([by_id[name] for name in ids], side="passage")
    vectors = torch.from_numpy(np.concatenate([np.load(path) for path in shards]))
    torch.testing.assert_close(vectors, expected, rtol=0, atol=1e-6)

    whole, time = shards[1].read_bytes(), shards[0].stat().st_mtime_ns
    shards[1].unlink()
    stop(tmp_path / "out")
    assert launch(*given, "resume=out") == 0
    assert shards[1].read_bytes() == whole
    assert shards[0].stat().st_mtime_ns == time


def test_vectors_of_other_texts_are_not_mixed(launch: Launch, tmp_path: Path, capfd) -> None:
    assert launch(*ENCODE, "hydra.run.dir=out") == 0
    stop(tmp_path / "out")
    assert launch(*ENCODE, "hydra.run.dir=out", "resume=out", "data.languages=[de,en]") == 2
    assert "differ in texts" in capfd.readouterr().err
    assert launch(*ENCODE, "hydra.run.dir=out", "overwrite=true", "data.languages=[de,en]") == 0
    assert not (tmp_path / "out" / "vectors" / "jsonl.fr.query").exists()


def test_a_file_of_texts(launch: Launch, tmp_path: Path, capfd) -> None:
    (tmp_path / "plain.txt").write_text("one\ntwo words\n")
    (tmp_path / "named.jsonl").write_text('{"id": "a", "text": "one"}\n{"text": "two words"}\n')
    for name, ids in (("plain.txt", ["1", "2"]), ("named.jsonl", ["a", "2"])):
        out = f"out-{name}"
        assert launch(*ENCODE, f"encode.path={name}", "encode.side=query", f"hydra.run.dir={out}") == 0
        folder = tmp_path / out / "vectors" / name.partition(".")[0]
        assert json.loads((folder / "00000.ids.json").read_text()) == ids
        expected = load_encoder("tiny").encode(["one", "two words"])
        torch.testing.assert_close(torch.from_numpy(np.load(folder / "00000.npy")), expected, rtol=0, atol=1e-6)
    (tmp_path / "wrong.jsonl").write_text('{"id": "a"}\n')
    assert launch(*ENCODE, "encode.path=wrong.jsonl") == 2
    assert "wrong.jsonl:1" in capfd.readouterr().err
    (tmp_path / "wrong.jsonl").write_text('{"id": null, "text": "one"}\n')
    assert launch(*ENCODE, "encode.path=wrong.jsonl") == 2
    assert "wrong.jsonl:1: id is None; it must be a text or a whole number" in capfd.readouterr().err
    assert launch(*ENCODE, "encode.side=pasage", "encode.shard_size=0") == 2
    said = capfd.readouterr().err
    assert "encode.side=pasage" in said
    assert "encode.shard_size=0" in said


def test_a_teacher_reads_nothing_that_was_encoded_before(launch: Launch, own_cache: Path) -> None:
    keep = ("keep_teacher_vectors=true", "data.max_query_length=12", "data.max_passage_length=20")
    train = ("loss=[distillation,retention]", "evaluation=[]", "trainer.max_steps=3", *keep)
    assert launch(*ENCODE, *keep, "hydra.run.dir=encoded") == 0
    there = written(own_cache)
    assert there
    assert launch(*train, "hydra.run.dir=trained") == 0
    assert written(own_cache) == there  # a text that the teacher had to read would have been kept
    assert launch(*train, "data.max_passage_length=16", "hydra.run.dir=shorter") == 0
    assert written(own_cache) > there
