"""A killed process, and two at once."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
import on_disk_worker
from worlds import folder_of, random_world

WORKER = Path(on_disk_worker.__file__)


@pytest.fixture
def start(tmp_path):
    """Starts a worker; all that are left are killed in the end."""
    folder = folder_of(tmp_path / "world", *random_world(0, ties=False)[:3])
    source = str(WORKER.parents[2] / "src")
    environment = os.environ | {
        "PYTHONPATH": source,
        "MIXLINGUA_CACHE": str(tmp_path / "cache"),
        "OMP_NUM_THREADS": "1",
    }
    running = []

    def start(pause, out):
        command = [sys.executable, str(WORKER), str(folder), "8", str(pause), str(tmp_path / out)]
        running.append(subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True))
        return running[-1]

    yield start
    for process in running:
        process.kill()
        process.wait()


def expected(tmp_path, monkeypatch):
    monkeypatch.setenv("MIXLINGUA_CACHE", str(tmp_path / "uninterrupted"))
    content, encoded = on_disk_worker.evaluated(str(tmp_path / "world"), 8, 0.0)
    return json.loads(json.dumps(content)), encoded


def test_a_killed_evaluation_resumes_at_the_first_missing_shard_with_equal_values(start, tmp_path, monkeypatch):
    victim = start(0.3, "never.json")
    vectors = tmp_path / "cache" / "vectors"
    while len(list(vectors.glob("*/[0-9]*.npy"))) < 4:
        assert victim.poll() is None, "it ended before it could be killed"
        time.sleep(0.02)
    victim.kill()
    victim.wait()
    there = len(list(vectors.glob("*/[0-9]*.npy")))
    assert 4 <= there < 15 and not (tmp_path / "never.json").exists()

    again = start(0.0, "resumed.json")
    printed, _ = again.communicate(timeout=600)
    assert again.returncode == 0
    content, whole = expected(tmp_path, monkeypatch)
    assert json.loads((tmp_path / "resumed.json").read_text()) == content
    assert int(printed) == whole - 8 * there, "a shard that was there was encoded again"
    assert not list(vectors.glob("*")), "vectors are removed"


def test_two_processes_take_turns(start, tmp_path, monkeypatch):
    """Neither reads what the other removes."""
    both = [start(0.02, "a.json"), start(0.02, "b.json")]
    for process in both:
        process.communicate(timeout=600)
        assert process.returncode == 0
    content, _ = expected(tmp_path, monkeypatch)
    for name in ("a.json", "b.json"):
        assert json.loads((tmp_path / name).read_text()) == content
