"""Evaluations over corpora that are killed, and two at once: they go on where they were, with equal values."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))
import worker
from worlds import folder_of, random_world


def write_questions(folder):
    """Forty questions in two languages; each number answers one, in some fifteen passages. Fifty shards of three."""
    folder.mkdir()
    with (folder / "mkqa.jsonl").open("w") as file:
        for number in range(40):
            answers = {"en": [{"type": "number", "text": str(number % 10), "aliases": []}]}
            queries = {"de": f"Frage {number}", "en": f"question {number}"}
            file.write(json.dumps({"example_id": number, "queries": queries, "answers": answers}) + "\n")
    with (folder / "corpus.jsonl").open("w") as file:
        for number in range(150):
            file.write(json.dumps({"_id": f"doc{number}", "title": "", "text": f"text{number} , {number % 10}"}) + "\n")


def shards(vectors):
    """How many passages are on disk: eight for each shard."""
    return 8 * len(list(vectors.glob("*/[0-9]*.npy")))


def steps(vectors):
    """How many steps of a search are on disk: one for each shard judged, then one for each counted."""
    for state in vectors.glob("mkqa-*.npz"):
        with np.load(state) as arrays:
            return int(arrays["done"])
    return 0


@pytest.fixture
def start(tmp_path):
    """Starts a worker; all that are left are killed in the end."""
    folder_of(tmp_path / "corpus", *random_world(0, ties=False)[:3])
    write_questions(tmp_path / "answers")
    environment = os.environ | {
        "PYTHONPATH": str(Path(__file__).parents[2] / "src"),
        "OMP_NUM_THREADS": "1",
    }
    running = []

    def start(kind, pause, out):
        command = [sys.executable, worker.__file__, kind, str(tmp_path / kind), str(pause), str(tmp_path / out)]
        running.append(subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True))
        return running[-1]

    yield start
    for process in running:
        process.kill()
        process.wait()


def uninterrupted(kind, tmp_path, monkeypatch):
    monkeypatch.setenv("MIXLINGUA_CACHE", str(tmp_path / "uninterrupted"))
    content, done = worker.evaluated(kind, tmp_path / kind, 0.0)
    return json.loads(json.dumps(content)), done


@pytest.mark.parametrize(
    ("kind", "on_disk", "pause", "enough"), [("corpus", shards, 0.3, 32), ("answers", steps, 0.1, 55)]
)
@pytest.mark.whole
def test_a_killed_evaluation_goes_on_where_it_was(start, tmp_path, monkeypatch, kind, on_disk, pause, enough):
    victim = start(kind, pause, "never.json")
    vectors = tmp_path / "cache" / "vectors"
    while on_disk(vectors) < enough:
        assert victim.poll() is None, "it ended before it could be killed"
        time.sleep(0.02)
    victim.kill()
    victim.wait()
    there = on_disk(vectors)
    assert not (tmp_path / "never.json").exists()

    again = start(kind, 0.0, "resumed.json")
    printed, _ = again.communicate(timeout=600)
    assert again.returncode == 0
    content, whole = uninterrupted(kind, tmp_path, monkeypatch)
    assert enough <= there < whole
    assert json.loads((tmp_path / "resumed.json").read_text()) == content
    assert int(printed) == whole - there, "what was there was done again"
    assert not list(vectors.glob("*")), "vectors and state are removed"
    assert all(
        np.mean(table["success_at_20" if kind == "answers" else "map"]) > 0 for table in content["values"].values()
    )


@pytest.mark.whole
def test_two_processes_take_turns(start, tmp_path, monkeypatch):
    """Neither reads what the other removes."""
    both = [start("corpus", 0.02, "a.json"), start("corpus", 0.02, "b.json")]
    for process in both:
        process.communicate(timeout=600)
        assert process.returncode == 0
    content, _ = uninterrupted("corpus", tmp_path, monkeypatch)
    for name in ("a.json", "b.json"):
        assert json.loads((tmp_path / name).read_text()) == content
