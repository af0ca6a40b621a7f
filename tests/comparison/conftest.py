"""Runs for comparisons: their records without any file, and folders of results worked out by hand."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mixlingua.comparison.runs import FinishedRun
from mixlingua.evaluation.results import PerQueryTable, TaskResult
from mixlingua.evaluation.run_folder import write_results

CLASSES = {"e5": "intfloat/e5-small", "labse": "org/LaBSE"}  # model choice -> model.name_or_path


def finished_run(*overrides: str, action: str = "train") -> FinishedRun:
    """The record of `python run.py OVERRIDES`, with a configuration as Hydra would have made it."""
    config: dict[str, Any] = {
        "action": action, "seed": 0, "paths": {"data": "/data"},
        "data": {"sources": {"ntrex": {"path": "/data/ntrex"}}, "batch_size": 48, "max_rows": None, "num_workers": 1},
        "sampler": {"_target_": "strategies.Hybrid", "exponent": 1.0, "alpha": 0.5},
        "model": {"name_or_path": CLASSES["e5"], "freeze_layers": 0}, "optimizer": {"lr": 1e-4},
        "loss": {"infonce": {"temperature": 0.02}}, "postprocess": {}, "adapter": {},
        "trainer": {"max_steps": 60, "devices": 1}, "evaluation": {"before": True, "precision": "32-true"},
        "card": {"licence": None}, "server": {"port": 8000}, "keep_teacher_vectors": False,
    }  # fmt: skip
    for override in overrides:
        key, _, text = override.partition("=")
        match key:
            case "seed":
                config["seed"] = int(text)
            case "sampler":
                config["sampler"] |= {"_target_": f"strategies.{text.title()}"}
                if text != "hybrid":
                    config["sampler"].pop("alpha", None)
            case "model":
                config["model"]["name_or_path"] = CLASSES.get(text)
            case "data":
                config["data"]["sources"] = {name: {} for name in text.strip("[]").split(",")}
            case "loss":
                config["loss"] = {name: {} for name in text.strip("[]").split(",")}
            case "postprocess" | "adapter":
                config[key] = {"_target_": f"layers.{text.title()}"} if text != "none" else {}
            case "experiment":
                config["optimizer"]["lr"] = 3e-5
            case "keep_teacher_vectors":
                config[key] = text == "true"
            case _:
                section, name = key.split(".")
                config[section][name] = _value(text)
    return FinishedRun(Path("runs") / "-".join((action, *overrides)), action, overrides, config)


def _value(text: str) -> object:
    try:
        return float(text) if "." in text or "e-" in text else int(text)
    except ValueError:
        return text


@pytest.fixture
def run() -> Callable[..., FinishedRun]:
    return finished_run


# (query language, passage language) -> metric -> values of q1, q2 and, in German, q3.
Cells = Mapping[tuple[str, str], Mapping[str, Sequence[float]]]
GOOD: Cells = {
    ("de", "de"): {"map": [1, 1 / 2, 1]},
    ("en", "en"): {"map": [1, 1 / 2]},
    ("de", "en"): {"map": [1 / 2, 1]},
    ("en", "de"): {"map": [1, 1 / 3]},
    ("de", "all"): {"map": [0.8, 0.4, 1], "rank_distance": [2, 3, 0]},
    ("en", "all"): {"map": [0.7, 0.3], "rank_distance": [1, 4]},
}
BAD: Cells = GOOD | {
    ("de", "de"): {"map": [1 / 3, 1 / 2, 1 / 3]},
    ("en", "en"): {"map": [1 / 3, 1 / 3]},
    ("de", "all"): {"map": [0.2, 0.2, 0.2], "rank_distance": [2, 5, 4]},
}


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """Write the folder of a run with these values; ids: of the questions; changes: of the task's provenance."""

    def run_folder(
        name: str, cells: Cells = GOOD, task: str = "small", ids: Sequence[str] = ("q1", "q2", "q3"), **changes: object
    ) -> Path:
        kinds = {"monolingual": lambda q, p: q == p, "crosslingual": lambda q, p: p not in (q, "all"),
                 "multilingual": lambda q, p: p == "all"}  # fmt: skip
        tables = {}
        for setting, belongs in kinds.items():
            own = {pair: values for pair, values in cells.items() if belongs(*pair)}
            rows = [(ids[index], *pair) for pair, values in own.items() for index in range(len(values["map"]))]
            metrics = next(iter(own.values()))
            columns = {metric: np.concatenate([values[metric] for values in own.values()]) for metric in metrics}
            tables[setting] = PerQueryTable(*(list(column) for column in zip(*rows, strict=True)), columns)
        about = {"revision": "1", "languages": ["de", "en"], "num_queries": {"de": 3, "en": 2},
                 "num_candidates": {"de": 3, "en": 3}, "main_metric": "map",
                 "passage_transforms": "by 0.05", **changes}  # fmt: skip
        write_results(tmp_path / name, [TaskResult(task, about, tables)], {"seed": 0})
        return tmp_path / name

    return run_folder
