"""Arguments read from source without importing it, and nodes completed with them."""

import ast
import sys
from pathlib import Path

import pytest

from mixlingua.cli.configuration import complete, unknown_keys
from mixlingua.signatures import REQUIRED, UNREADABLE, needed, signature

SOURCE = '''
raise ImportError("must not be imported")
from dataclasses import KW_ONLY, dataclass, field
from typing import ClassVar
from torch.nn import Linear
from mixlingua.mining.mine import Mining
from .other import LIMIT, Base, made
SIZE = 3

def function(a, *, b=SIZE, c=object(), d=LIMIT): ...

class Plain:
    def __init__(self, first, second=("x", "y"), **more): ...
    @classmethod
    def other(cls, path): ...

class Child(Plain):
    """Takes what its base takes."""

class Foreign(Linear):
    """What it takes is not known: torch is not read."""

@dataclass
class Ours(Mining):
    extra: int = 1

@dataclass
class Node(Base):
    KIND: ClassVar[str] = "node"
    _: KW_ONLY
    names: list[str] = field(default_factory=list)
    plain: Plain = field(default_factory=Plain)
    hidden: int = field(default=0, init=False)
'''
OTHER = """
from dataclasses import dataclass

LIMIT = 7

@dataclass
class Base:
    size: int
    rate: float = -1.5

def made(x): ...
"""


@pytest.fixture(autouse=True)
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "probe_package"
    folder.mkdir()
    (folder / "__init__.py").write_text(SOURCE)
    (folder / "other.py").write_text(OTHER)
    monkeypatch.syspath_prepend(tmp_path)


@pytest.mark.parametrize(
    ("name", "defaults"),
    [
        ("function", {"a": REQUIRED, "b": 3, "c": UNREADABLE, "d": 7}),
        ("Plain", {"first": REQUIRED, "second": ["x", "y"]}),
        ("Child", {"first": REQUIRED, "second": ["x", "y"]}),
        ("Plain.other", {"path": REQUIRED}),
        ("Node", {"size": REQUIRED, "rate": -1.5, "names": [], "plain": {"_target_": "probe_package.Plain"}}),
        ("made", {"x": REQUIRED}),
        ("Ours", dict(top_k=100, num_negatives=8, margin=0.05, across_languages=False, shard_size=16384, extra=1)),
    ],
)
def test_defaults(name: str, defaults: dict[str, object]) -> None:
    read = signature(f"probe_package.{name}")
    assert read is not None and read.defaults == defaults
    assert read.takes_more == (name in ("Plain", "Child"))
    assert "probe_package" not in sys.modules


@pytest.mark.parametrize(
    "target", ["probe_package.nothing", "probe_package.Foreign", "mixlingua_probe_nowhere.thing", "len"]
)
def test_what_has_no_source_has_no_signature(target: str) -> None:
    assert signature(target) is None


def test_a_node_is_completed_and_a_partial_one_may_lack_what_its_caller_gives() -> None:
    node = {
        "_target_": "probe_package.Node",
        "rate": 2,
        "inner": [{"_target_": "probe_package.made"}],
    }
    assert complete(node) == {
        "_target_": "probe_package.Node",
        "size": REQUIRED,
        "rate": 2,
        "names": [],
        "plain": {"_target_": "probe_package.Plain", "first": REQUIRED, "second": ["x", "y"]},
        "inner": [{"_target_": "probe_package.made", "x": REQUIRED}],
    }
    assert complete({"_target_": "probe_package.made", "_partial_": True}) == {
        "_target_": "probe_package.made",
        "_partial_": True,
    }


def test_unknown_keys_are_named_with_the_nearest_argument() -> None:
    node = {
        "a": [{"_target_": "probe_package.made", "y": 1}],
        "b": {"_target_": "probe_package.Node", "rat": 1},
    }
    listed, near = unknown_keys(node, "loss")
    assert listed.startswith("loss.a[0].y: made takes no 'y'. It takes x.")
    assert near.startswith("loss.b.rat: Node takes no 'rat'. Did you mean 'rate'?")


@pytest.mark.parametrize(
    ("annotation", "good", "bad", "said"),
    [
        ("bool", [True, False], ["no", 0, 1, None], "true or false"),
        ("int", [0, -3], [True, 1.5, "1", None], "a whole number"),
        ("float", [0, 1.5], [False, "1e-4", None], "a number"),
        ("str", ["5", ""], [5, True, None, ["a"]], "a text"),
        ("str | Path", ["a"], [5, None], "a text or a path"),
        ("int | str | None", [1, "a", None], [1.5, True, []], "a whole number or a text or null"),
        ("Optional[bool]", [True, None], ["yes"], "true or false or null"),
        ("Union[int, str]", [1, "a"], [None, 1.5], "a whole number or a text"),
        ("Sequence[str]", [[], ["de"]], ["de", None, {}], "a list"),
        ("list[float] | None", [[1, 0.5], None], [["a"], [1, True]], "a list in which each is a number or null"),
        ("tuple[str, ...]", [["a", "b"]], [["a", 1]], "a list in which each is a text"),
        ("tuple[str, int]", [["a", 1]], [["a"], ["a", 1, 2]], "a list of 2"),
        ("Average", ["macro", 5, None], [], ""),
        ("Mapping[str, Any]", [{}, {"a": 1}], ["x", None, []], "a mapping"),
    ],
)
def test_values_of_another_type_than_the_annotation(annotation: str, good: list, bad: list, said: str) -> None:
    parsed = ast.parse(annotation, mode="eval").body
    assert [needed(value, parsed) for value in good] == [""] * len(good)
    assert [needed(value, parsed) for value in bad] == [said] * len(bad)


def test_annotations_of_bases_hold_too() -> None:
    assert {name: ast.unparse(each) for name, each in signature("probe_package.Node").annotations.items()} == {
        "size": "int", "rate": "float", "KIND": "ClassVar[str]", "_": "KW_ONLY", "names": "list[str]", "plain": "Plain",
        "hidden": "int",
    }  # fmt: skip
