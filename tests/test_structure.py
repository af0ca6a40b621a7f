"""The code has no circles of imports and stays as large as it is meant to be: benchmarks/structure.py measures it."""

import importlib.util
import statistics
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
SPEC = importlib.util.spec_from_file_location("structure", REPOSITORY / "benchmarks" / "structure.py")
assert SPEC and SPEC.loader
structure = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(structure)


def test_no_modules_import_one_another() -> None:
    assert structure.circles(structure.imports()) == []


def test_a_circle_is_seen() -> None:
    graph = {"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}}
    assert structure.circles(graph) == [["a", "b", "c"]]


def test_modules_are_neither_crumbs_nor_monoliths() -> None:
    sizes = structure.sizes()
    assert len(sizes) < 160
    assert 120 <= statistics.median(sizes.values()) <= 350


def test_the_five_files_of_a_training_step_run(own_cache: Path, tmp_path: Path) -> None:
    run = structure.training_step(tmp_path)
    told = {"sampling/plan.py": "BatchPlan.batch", "data/batches.py": "StepDataset.__getitem__"}
    told |= {"training/module.py": "RetrieverModule.training_step", "model/encoder.py": "BiEncoder.encode_together"}
    told |= {"losses/infonce.py": "info_nce"}
    assert {module: name in run[module] for module, name in told.items()} == dict.fromkeys(told, True)
    assert len(run) <= 18
