"""How long a command takes until something happens: the help, the configuration, the first training step.

    python benchmarks/start.py            the default run; --small: the tiny model, as CI runs it
Needs warm caches: the first run converts the embedded weights and data. The last line is JSON, in seconds: `help`,
`configuration`, `imports`, then of a run, each from the start of the command: `ready` (model and data are there),
`measured` (the untrained model is), `first_step`; and `first_step_unmeasured`, with evaluation.before=false.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
RUN = [sys.executable, str(REPOSITORY / "run.py")]
# A callback of the run's own: it writes when things happen and ends the process after the first step.
STAMPS = """
import json, os, time
from pytorch_lightning import Callback

class Stamps(Callback):
    def __init__(self, file):
        self.file, self.times = file, {}

    def on_fit_start(self, *_):
        self.times["ready"] = time.time()

    def on_train_start(self, *_):
        self.times["measured"] = time.time()

    def on_train_batch_end(self, *_):
        self.times["first_step"] = time.time()
        with open(self.file, "w") as file:
            json.dump(self.times, file)
        os._exit(0)
"""


def seconds(command: list[str], **environment: str) -> float:
    """How long a command takes."""
    started = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True, env={**os.environ, **environment})
    return time.perf_counter() - started


def first_step(folder: Path, options: list[str]) -> dict[str, float]:
    """When a run of the command is ready, has measured the untrained model, and has made its first step."""
    (folder / "callbacks").mkdir(exist_ok=True)
    (folder / "stamps.py").write_text(STAMPS, encoding="utf-8")
    choice = f"# @package callbacks.stamps\n_target_: stamps.Stamps\nfile: {folder / 'times.json'}\n"
    (folder / "callbacks" / "stamps.yaml").write_text(choice, encoding="utf-8")
    command = [*RUN, f"--config-dir={folder}", "callbacks=[stamps]", "hydra.run.dir=" + tempfile.mkdtemp(dir=folder)]
    environment = {**os.environ, "PYTHONPATH": str(folder)}
    started = time.time()
    done = subprocess.run([*command, *options], env=environment, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(done.stderr)
    times = json.loads((folder / "times.json").read_text(encoding="utf-8"))
    return {name: moment - started for name, moment in times.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--small", action="store_true", help="the tiny model, once")
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    options = ["model=tiny", "data.num_workers=0"] if arguments.small else []
    repeats = 1 if arguments.small else arguments.repeats
    measured: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if not arguments.small:
            first_step(folder, options)  # warms the caches
        for _ in range(repeats):
            once = {
                "help": seconds([*RUN, "--help"]),
                "configuration": seconds([*RUN, "--cfg", "job"]),
                "imports": seconds(
                    [sys.executable, "-c", "import mixlingua.cli.train"], PYTHONPATH=f"{REPOSITORY}/src"
                ),
                **first_step(folder, options),
                "first_step_unmeasured": first_step(folder, [*options, "evaluation.before=false"])["first_step"],
            }
            for stage, value in once.items():
                measured.setdefault(stage, []).append(value)
    medians = {stage: round(statistics.median(values), 2) for stage, values in measured.items()}
    for stage, value in medians.items():
        spread = f"{min(measured[stage]):.2f} to {max(measured[stage]):.2f}"
        print(f"{stage:<22}{value:7.2f} s  ({spread})")
    print(json.dumps({**medians, "repeats": repeats, "small": arguments.small}))


if __name__ == "__main__":
    main()
