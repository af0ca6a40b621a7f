"""A process that is killed while it searches for answers."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))
import answers_worker

WORKER = Path(answers_worker.__file__)
NUM_PASSAGES, STEPS = 150, 100  # 50 shards, each judged and searched


def write(folder):
    """Forty questions in two languages; each number answers one, in some fifteen passages."""
    folder.mkdir()
    with (folder / "mkqa.jsonl").open("w") as file:
        for number in range(40):
            answers = {"en": [{"type": "number", "text": str(number % 10), "aliases": []}]}
            queries = {"de": f"Frage {number}", "en": f"question {number}"}
            file.write(json.dumps({"example_id": number, "queries": queries, "answers": answers}) + "\n")
    with (folder / "corpus.jsonl").open("w") as file:
        for number in range(NUM_PASSAGES):
            file.write(json.dumps({"_id": f"doc{number}", "title": "", "text": f"text{number} , {number % 10}"}) + "\n")


def test_a_killed_search_resumes_with_equal_values(tmp_path, monkeypatch):
    write(tmp_path / "data")
    environment = os.environ | {
        "PYTHONPATH": str(WORKER.parents[2] / "src"),
        "MIXLINGUA_CACHE": str(tmp_path / "cache"),
        "OMP_NUM_THREADS": "1",
    }

    def start(pause, out):
        command = [sys.executable, str(WORKER), str(tmp_path / "data"), str(pause), str(tmp_path / out)]
        return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)

    victim = start(0.1, "never.json")
    try:
        while not (states := list((tmp_path / "cache" / "vectors").glob("mkqa-*.npz"))) or done(states[0]) < 55:
            assert victim.poll() is None, "it ended before it could be killed"
            time.sleep(0.02)
    finally:
        victim.kill()
        victim.wait()
    there = done(states[0])
    assert 55 <= there < STEPS and not (tmp_path / "never.json").exists()

    again = start(0.0, "resumed.json")
    printed, _ = again.communicate(timeout=600)
    assert again.returncode == 0 and int(printed) == STEPS - there
    assert not list((tmp_path / "cache" / "vectors").glob("*")), "vectors and state are removed"

    monkeypatch.setenv("MIXLINGUA_CACHE", str(tmp_path / "uninterrupted"))
    content, steps = answers_worker.evaluated(tmp_path / "data", 0.0)
    resumed = json.loads((tmp_path / "resumed.json").read_text())
    assert steps == STEPS and resumed == json.loads(json.dumps(content))
    values = resumed["values"]["crosslingual"]["success_at_20"]
    assert len(values) == 40 and 0 < sum(values) < 40


def done(state):
    with np.load(state) as arrays:
        return int(arrays["done"])
