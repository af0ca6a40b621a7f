"""How large the code is, and how many of its files one training step and one evaluation pass through.

    python benchmarks/structure.py

Sizes are lines of src/mixlingua/**/*.py. A circle is a set of modules that import one another. The files of a training
step are those whose functions run from the number of the step to the updated weights. The files of an evaluation are
those whose functions run from a loaded model to its figures. Both use the encoder `tiny` on the embedded data.
Constructors have run before.
"""

import ast
import statistics
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import FrameType

SOURCE = Path(__file__).resolve().parents[1] / "src"
PACKAGE = SOURCE / "mixlingua"
if str(SOURCE) not in sys.path:
    sys.path.insert(0, str(SOURCE))


def sizes() -> dict[str, int]:
    """Lines of each module, by its path below src/mixlingua; empty `__init__.py` files are left out."""
    lines = {path.relative_to(PACKAGE).as_posix(): _lines(path) for path in PACKAGE.rglob("*.py")}
    return {name: count for name, count in sorted(lines.items()) if count}


def _lines(path: Path) -> int:
    return len(path.read_text(encoding="utf-8").splitlines())


def imports() -> dict[str, set[str]]:
    """The modules of the package that each of its modules imports, also inside functions and under TYPE_CHECKING."""
    paths = {".".join(path.relative_to(SOURCE).with_suffix("").parts): path for path in PACKAGE.rglob("*.py")}
    graph: dict[str, set[str]] = {}
    for name, path in paths.items():
        named: set[str] = set()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                named |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                named |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
        graph[name] = {other for other in named if other in paths and other != name}
    return graph


def circles(graph: dict[str, set[str]]) -> list[list[str]]:
    """Sets of two or more nodes of the graph that can reach one another, each sorted."""
    reached = {node: _reachable(graph, node) for node in graph}
    together = {node: frozenset(o for o in reached[node] if node in reached[o]) | {node} for node in graph}
    return sorted(sorted(group) for group in set(together.values()) if len(group) > 1)


def _reachable(graph: dict[str, set[str]], start: str) -> set[str]:
    reached: set[str] = set()
    ahead = [start]
    while ahead:
        for other in graph[ahead.pop()] - reached:
            reached.add(other)
            ahead.append(other)
    return reached


def files_run_by(action: Callable[[], object]) -> dict[str, list[str]]:
    """The functions of the package that run during an action, by module in the order of their first call."""
    called: dict[str, dict[str, None]] = {}

    def note(frame: FrameType, event: str, argument: object) -> None:
        if event == "call" and frame.f_code.co_filename.startswith(str(PACKAGE)):
            module = Path(frame.f_code.co_filename).relative_to(PACKAGE).as_posix()
            called.setdefault(module, {})[frame.f_code.co_qualname] = None

    sys.setprofile(note)
    try:
        action()
    finally:
        sys.setprofile(None)
    return {module: list(functions) for module, functions in called.items()}


def training_step(cache: Path) -> dict[str, list[str]]:
    """What runs from the number of a step to its updated weights."""
    import torch

    from mixlingua.data.atlas import AtlasReader
    from mixlingua.data.batches import StepDataset
    from mixlingua.data.build import build_store
    from mixlingua.losses.base import TotalLoss
    from mixlingua.losses.infonce import InfoNCE
    from mixlingua.model.pretrained import PretrainedEncoder
    from mixlingua.sampling.plan import BatchPlan
    from mixlingua.sampling.strategies import Hybrid
    from mixlingua.training.module import RetrieverModule
    from mixlingua.training.optimizer import AdamW

    encoder = PretrainedEncoder(name_or_path="tiny", pooling="mean").load(seed=0)
    store = build_store(AtlasReader(), cache)
    plan = BatchPlan([store], strategy=Hybrid(), languages=["de", "en", "ru"], batch_size=8, seed=0)
    dataset = StepDataset([store], plan, encoder.tokenizer, num_negatives=0, rank=0, world_size=1)
    module = RetrieverModule(encoder, TotalLoss({"infonce": InfoNCE()}), AdamW())
    module.log = module.log_dict = lambda *args, **kwargs: None  # type: ignore[method-assign,assignment]
    optimizer = torch.optim.AdamW(parameter for parameter in module.parameters() if parameter.requires_grad)

    def step() -> None:
        module.training_step(dataset[0], 0).backward()
        optimizer.step()

    return files_run_by(step)


def evaluation() -> dict[str, list[str]]:
    """What runs from a loaded model to its figures on the embedded benchmark."""
    from mixlingua.evaluation.benchmarks.training_data import atlas
    from mixlingua.evaluation.suite import evaluate_encoder
    from mixlingua.model.pretrained import PretrainedEncoder

    encoder = PretrainedEncoder(name_or_path="tiny", pooling="mean").load(seed=0)
    task = atlas()
    return files_run_by(lambda: evaluate_encoder(encoder, [task], token_budget=2048, precision="32-true"))


def main() -> None:
    lines = sizes()
    largest = max(lines, key=lambda name: lines[name])
    print(f"modules: {len(lines)}; lines: {sum(lines.values())}; median: {statistics.median(lines.values()):.0f}")
    print(f"largest: {largest} ({lines[largest]}); circles: {len(circles(imports()))}")
    with tempfile.TemporaryDirectory() as cache:
        runs = {"training step": training_step(Path(cache)), "evaluation": evaluation()}
    for name, modules in runs.items():
        print(f"\nfiles whose code runs in one {name}: {len(modules)}")
        for module, functions in modules.items():
            print(f"  {module}: {', '.join(functions[:6])}{', ...' if len(functions) > 6 else ''}")


if __name__ == "__main__":
    main()
