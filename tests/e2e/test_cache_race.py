"""Processes that need the same converted store at once: one builds it, the others wait for it."""

import subprocess
import sys
from pathlib import Path

BUILD = """
import sys, time
from pathlib import Path
from mixlingua.data.build import build_store
from mixlingua.data.readers.jsonl import JsonlReader

folder = Path(sys.argv[1])

class Slow(JsonlReader):
    def rows(self):
        with (folder / "reads.txt").open("a") as file:
            file.write("read\\n")
        for row in super().rows():
            time.sleep(0.01)
            yield row

(folder / f"ready{sys.argv[2]}").touch()
while len(list(folder.glob("ready*"))) < 2:
    time.sleep(0.005)
store = build_store(Slow(folder / "pairs.jsonl"), folder / "cache", progress=False)
assert store.num_rows == 60
assert store.texts([59], "query", ["de"])[0].endswith("59?")
"""


def test_two_processes_build_one_store(data: Path) -> None:
    (data / "build.py").write_text(BUILD)
    processes = [
        subprocess.Popen(
            [sys.executable, str(data / "build.py"), str(data), str(number)],
            env={"PYTHONPATH": str(Path(__file__).parents[2] / "src"), "PATH": ""},
            stderr=subprocess.PIPE,
            text=True,
        )
        for number in (0, 1)
    ]
    errors = [process.communicate(timeout=60)[1] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], errors
    assert (data / "reads.txt").read_text() == "read\n"
