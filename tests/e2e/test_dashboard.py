"""What runs log to W&B, read from their files, and a dashboard that names nothing else. No network, no key."""

import json
import struct
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from wandb.proto import wandb_internal_pb2 as protocol

Launch = Callable[..., int]
BLOCK = 32768  # of the LevelDB log format, which W&B's files have after seven bytes of their own


def records(path: Path) -> Iterator[Any]:
    """The records of an offline run. Each piece has a checksum (4 bytes), a length (2) and a kind (1: whole; 2, 3, 4:
    first, middle, last of several); a block ends with zeros where no header fits."""
    content, place, whole = path.read_bytes(), 7, b""
    while place + 7 <= len(content):
        if BLOCK - place % BLOCK < 7:
            place += BLOCK - place % BLOCK
            continue
        length, kind = struct.unpack_from("<HB", content, place + 4)
        whole += content[place + 7 : place + 7 + length]
        place += 7 + length
        if kind in (1, 4):
            yield protocol.Record.FromString(whole)
            whole = b""


def logged(run: Path) -> tuple[dict[str, Any], dict[str, Any], set[str]]:
    """Last value of each name, the configuration, and the groups of one run folder's W&B file."""
    (file,) = run.glob("wandb/offline-run-*/run-*.wandb")
    values: dict[str, Any] = {}
    config: dict[str, Any] = {}
    groups: set[str] = set()
    for record in records(file):
        kind = record.WhichOneof("record_type")
        if kind == "history":
            for item in record.history.item:
                *outer, last = item.nested_key or [item.key]
                inner = values
                for name in outer:
                    inner = inner.setdefault(name, {})
                inner[last] = json.loads(item.value_json)
        elif kind == "run":
            groups.add(record.run.run_group)
        if kind in ("run", "config"):
            updates = record.run.config if kind == "run" else record.config
            config |= {item.key: json.loads(item.value_json) for item in updates.update if item.key}
    return values, config, groups


@pytest.fixture
def sweep(launch: Launch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two short runs with alpha 0.2 and 0.8, kept offline."""
    for name in ("WANDB_API_KEY", "WANDB_MODE", "WANDB_IDENTITY_TOKEN_FILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "no-netrc"))
    monkeypatch.setenv("WANDB_CONFIG_DIR", str(tmp_path / "wandb-config"))
    monkeypatch.setenv("WANDB_DATA_DIR", str(tmp_path / "wandb-data"))
    monkeypatch.setenv("WANDB_SILENT", "true")
    given = ("logger=[csv,wandb]", "trainer.max_steps=3", "hydra.sweep.dir=sweep")
    assert launch("-m", "sampler.alpha=0.2,0.8", *given) == 0
    return tmp_path / "sweep"


def test_a_dashboard_names_what_the_runs_logged_and_nothing_else(
    sweep: Path, launch: Launch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # The runs: averages before and after, losses, the mix of batches, pairs as a table and a picture, one group.
    found = [logged(sweep / job) for job in "01"]
    values, config, groups = found[0]
    metrics = json.loads((sweep / "0" / "metrics.json").read_text())
    for key in ("xquad_r/monolingual/map", "xquad_r/multilingual/map", "xquad_r/multilingual/rank_distance"):
        assert values[key.replace("/", "_")] == pytest.approx(metrics[key])
    assert {"train_loss", "train_learning_rate", "train_gradient_norm", "batches_monolingual", "sources_jsonl",
            "speed_pairs_per_second", "speed_tokens_per_second"} <= set(values) | set(found[1][0])  # fmt: skip
    assert {"worst_queries", "xquad_r_languages", "report"} <= set(values)
    table, picture = values["xquad_r_map_by_pair"], values["xquad_r_map_by_pair_heatmap"]
    assert (table["_type"], table["ncols"], table["nrows"]) == ("table-file", 3, 2)
    assert picture["_type"] == "image-file"
    (run_files,) = (sweep / "0").glob("wandb/offline-run-*/files")
    assert (run_files / table["path"]).is_file() and (run_files / picture["path"]).is_file()
    assert [one[1]["sampler"]["alpha"] for one in found] == [0.2, 0.8]
    assert groups == found[1][2] != {""}

    if find_spec("wandb_workspaces") is None:
        assert launch("action=dashboard", "runs=sweep", "logger=wandb", "hydra.run.dir=board") == 2
        assert "pip install wandb-workspaces" in capsys.readouterr().err
        pytest.skip("the dashboard itself needs pip install wandb-workspaces==0.4.13")
    assert launch("action=dashboard", "runs=sweep", "logger=wandb", "hydra.run.dir=board") == 0
    assert "Not sent: no key" in capsys.readouterr().out
    written = json.loads((tmp_path / "board" / "dashboard.json").read_text())
    known = set().union(*(one[0] for one in found))
    for part in ("workspace", "report"):
        names, keys = set(named(written[part])), set(configured(written[part]))
        assert names <= known
        assert {"train_loss", "xquad_r_multilingual_map", "xquad_r_multilingual_rank_distance", "batches_monolingual",
                "xquad_r_map_by_pair", "xquad_r_map_by_pair_heatmap", "xquad_r_languages", "worst_queries", "report",
                "train_learning_rate", "train_gradient_norm", "speed_pairs_per_second", "speed_tokens_per_second",
                "trainer/global_step"} <= names  # fmt: skip
        assert {"sampler.alpha", "optimizer.lr", "sampler.exponent"} <= keys
        assert all(has(config, key) for key in keys)
    sections = [section["name"] for section in written["workspace"]["section"]["panelBankConfig"]["sections"]]
    assert sections == ["Quality by setting", "Language bias", "Quality against bias", "Settings", "Language pairs",
                        "Languages found", "Worst queries", "Batch mix", "Training", "Loss by kind", "Speed",
                        "Reports"]  # fmt: skip
    (runs,) = written["workspace"]["section"]["runSets"]
    assert [key["name"] for key in runs["grouping"]] == ["group", "sampler.value.alpha"]


def test_a_resumed_run_keeps_its_id_and_goes_on_in_its_steps(sweep: Path, launch: Launch, tmp_path: Path) -> None:
    assert launch("resume=sweep/0", "logger=[csv,wandb]", "trainer.max_steps=5", "hydra.run.dir=later") == 0
    ids, steps = [], []
    for run in (sweep / "0", tmp_path / "later"):
        (file,) = run.glob("wandb/offline-run-*/run-*.wandb")
        ids.append(file.stem.removeprefix("run-"))
        history = [record.history.item for record in records(file) if record.WhichOneof("record_type") == "history"]
        steps.append([int(item.value_json) for items in history for item in items
                      if [*item.nested_key, item.key][0] == "trainer/global_step"])  # fmt: skip
    assert ids[0] == ids[1]
    assert max(steps[0]) == 3
    assert (min(steps[1]), max(steps[1])) == (3, 5)


def test_what_a_dashboard_needs_is_said(launch: Launch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert launch("action=dashboard", "logger=wandb") == 2
    assert "runs: needs a value" in capsys.readouterr().err
    assert launch("action=dashboard", "runs=sweep") == 2
    assert "needs logger=wandb" in capsys.readouterr().err


def named(spec: Any) -> Iterator[str]:
    """Every name of something logged: axes, metrics, media, tables."""
    for key, value in walk(spec):
        texts = value if isinstance(value, list) else [value]
        if key in ("metrics", "mediaKeys") or (key == "xAxis" and ":" not in value and value != "_step"):
            yield from texts
        elif key in ("xAxis", "yAxis", "accessor") and value.startswith("summary:"):
            yield value.removeprefix("summary:")
        elif key == "key" and isinstance(value, dict) and value.get("nodeType") == "const":
            yield value["val"]


def configured(spec: Any) -> Iterator[str]:
    """Every configuration key."""
    for key, value in walk(spec):
        if key == "accessor" and value.startswith("config:"):
            yield value.removeprefix("config:").replace(".value", "", 1)
        elif key == "grouping":
            yield from (one["name"].replace(".value", "", 1) for one in value if one["section"] == "config")


def walk(tree: Any) -> Iterator[tuple[str, Any]]:
    for key, value in tree.items() if isinstance(tree, dict) else (("", value) for value in tree):
        if isinstance(value, (dict, list)):
            yield from walk(value)
        yield key, value


def has(tree: Any, key: str) -> bool:
    for name in key.split("."):
        if not isinstance(tree, dict) or name not in tree:
            return False
        tree = tree[name]
    return True
