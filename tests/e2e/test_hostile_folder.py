"""A folder from a stranger is read as data: no pickle is loaded and no code of it runs, whichever action reads it."""

import json
import os
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from mixlingua.model.local_weights import tiny_folder

Launch = Callable[..., int]


class Payload:
    """Makes a folder when it is unpickled."""

    def __init__(self, made: Path) -> None:
        self.made = made

    def __reduce__(self) -> tuple[object, ...]:
        return os.mkdir, (str(self.made),)


@pytest.fixture
def made(tmp_path: Path) -> Path:
    """What code of the folder would make."""
    return tmp_path / "made"


@pytest.fixture
def hostile(tmp_path: Path, made: Path) -> Path:
    """A finished run in which everything that could be a pickle or code is one."""
    run = tmp_path / "hostile"
    payload = Payload(made)
    code = f"import os\nos.mkdir({str(made)!r})\n"
    (run / "checkpoints").mkdir(parents=True)
    torch.save({"state_dict": payload, "PairDataModule": payload}, run / "checkpoints" / "last.ckpt")
    model = run / "model"
    shutil.copytree(tiny_folder(0), model)
    (model / "model.safetensors").unlink()
    torch.save({"embeddings.word_embeddings.weight": payload}, model / "pytorch_model.bin")
    config = json.loads((model / "config.json").read_text())
    config |= {"model_type": "evil", "architectures": ["Evil"]}
    config |= {"auto_map": {"AutoConfig": "evil.EvilConfig", "AutoModel": "evil.Evil", "AutoTokenizer": "evil.Evil"}}
    (model / "config.json").write_text(json.dumps(config))
    (model / "evil.py").write_text(code)
    shutil.copytree(model, run / "remote")  # whose modules are not refused before its code could run
    shutil.copytree(tiny_folder(0), run / "tokenizer")  # whose code is that of its tokenizer alone
    tokenizer = json.loads((run / "tokenizer" / "tokenizer_config.json").read_text())
    tokenizer |= {"tokenizer_class": "Evil", "auto_map": {"AutoTokenizer": ["evil.Evil", "evil.Evil"]}}
    (run / "tokenizer" / "tokenizer_config.json").write_text(json.dumps(tokenizer))
    shutil.copy(model / "evil.py", run / "tokenizer")
    shutil.copytree(tiny_folder(0), run / "pickled")  # which has nothing wrong but its weights
    (run / "pickled" / "model.safetensors").unlink()
    shutil.copy(model / "pytorch_model.bin", run / "pickled")
    modules = [{"idx": 0, "name": "0", "path": "", "type": "evil.Evil"}]
    (model / "modules.json").write_text(json.dumps(modules))
    for folder in ("per_query", "translations", "csv", "wandb"):
        (run / folder).mkdir()
    (run / "per_query" / "xquad_r_monolingual.parquet").write_bytes(pickle.dumps(payload))
    np.save(run / "per_query" / "xquad_r.npy", np.array([payload], object), allow_pickle=True)
    (run / "translations" / "de.jsonl").write_bytes(pickle.dumps(payload))
    (run / "translations" / "de.arrow").write_bytes(pickle.dumps(payload))
    (run / "csv" / "metrics.csv").write_bytes(pickle.dumps(payload))
    (run / "wandb" / "logged.json").write_bytes(pickle.dumps(payload))
    (run / "config.yaml").write_text(f"action: !!python/object/apply:os.mkdir ['{made}']\n")
    status = {"state": "finished", "action": "train", "overrides": [], "metrics": {}}
    (run / "status.json").write_text(json.dumps(status))
    for name in ("metrics.json", "report.json", "metrics_before.json", "report_before.json"):
        (run / name).write_text('{"a": 1}')
    (tmp_path / "PAYLOAD").write_bytes(pickle.dumps(payload))
    return run


def test_the_payload_would_act(hostile: Path, made: Path) -> None:
    pickle.loads((hostile.parent / "PAYLOAD").read_bytes())
    assert made.is_dir()
    made.rmdir()
    with pytest.raises(Exception):  # noqa: B017 - what torch makes of it afterwards does not matter
        torch.load(hostile / "checkpoints" / "last.ckpt", weights_only=False)["state_dict"].keys()
    assert made.is_dir()


@pytest.mark.parametrize(
    "command",
    [
        "resume=hostile",
        "resume=hostile/checkpoints/last.ckpt",
        "model=folder model.name_or_path=hostile/model",
        "action=evaluate model=folder model.name_or_path=hostile/model",
        "action=evaluate model=folder model.pooling=mean model.name_or_path=hostile/remote",
        "action=evaluate model=folder model.pooling=mean model.name_or_path=hostile/pickled",
        "action=mine model=folder model.name_or_path=hostile/model",
        "action=translate resume=hostile translator=folder translator.name_or_path=hostile/model "
        "translation.languages=[de,en,fr,es]",
        "action=translate translator=folder translator.name_or_path=hostile/model translation.languages=[de,es]",
        "action=compare runs=hostile",
        "action=dashboard runs=hostile",
    ],
)
def test_no_code_of_the_folder_runs(
    launch: Launch, hostile: Path, made: Path, command: str, capfd: pytest.CaptureFixture
) -> None:
    try:
        status = launch("hydra.run.dir=run", "data.num_workers=0", *command.split())
    finally:
        assert not made.exists()
    assert status == 2
    assert "Traceback" not in capfd.readouterr().err


def test_no_code_of_a_tokenizer_runs(launch: Launch, hostile: Path, made: Path) -> None:
    """Its tokenizer.json is read instead, which holds no code."""
    options = ["model=folder", "model.pooling=mean", "model.name_or_path=hostile/tokenizer", "hydra.run.dir=run"]
    try:
        assert launch("action=evaluate", *options) == 0
    finally:
        assert not made.exists()
