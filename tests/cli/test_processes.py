"""Several processes of one run, started as Lightning starts them: the command again, once for each."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from mixlingua.cli.run_record import read_status

ENTRY = """
import sys
sys.path.insert(0, {source!r})
from mixlingua.cli import command_line, main

command_line.ACTIONS["probe"] = command_line.Action("probe:run", "a stub", ("trainer",))
if __name__ == "__main__":
    main.main()
"""
PROBE = """
import json, os
from pytorch_lightning.demos.boring_classes import BoringModel
from mixlingua.training.trainer import build_trainer

def run(cfg, run_dir):
    trainer = build_trainer(cfg.trainer, run_dir, [], [])
    trainer.fit(BoringModel())
    writer = json.loads((run_dir / "status.json").read_text())["pid"]
    (run_dir / f"rank{trainer.global_rank}").write_text(json.dumps([os.getpid(), writer]))
    return {"world_size": trainer.world_size}
"""


@pytest.mark.slow
def test_processes_of_a_run_share_one_folder_and_one_writes(tmp_path: Path, conf: Path) -> None:
    (tmp_path / "probe.py").write_text(PROBE)
    (tmp_path / "entry.py").write_text(ENTRY.format(source=str(conf.parent / "src")))
    command = "action=probe trainer=ddp trainer.accelerator=cpu trainer.devices=2 trainer.precision=32-true"
    environment = {key: value for key, value in os.environ.items() if key not in ("LOCAL_RANK", "NODE_RANK", "RANK")}
    subprocess.run(
        [sys.executable, "entry.py", *command.split(), "trainer.max_steps=2"], cwd=tmp_path, env=environment, check=True
    )
    (run_dir,) = tmp_path.glob("outputs/*/*")
    seen = {path.name: json.loads(path.read_text()) for path in run_dir.glob("rank*")}
    assert set(seen) == {"rank0", "rank1"}
    (first, writer), (second, also) = seen["rank0"], seen["rank1"]
    assert writer == also == first != second
    status = read_status(run_dir)
    assert status["state"] == "finished"
    assert status["metrics"] == {"world_size": 2}
