"""Arguments read from source without importing it, and nodes completed with them."""

import sys
from pathlib import Path

import pytest

from mixlingua.cli.configuration import complete, unknown_keys
from mixlingua.cli.signatures import REQUIRED, UNREADABLE, signature

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
