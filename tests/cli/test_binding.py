"""Whether a node fits its target."""

from pathlib import Path
from typing import Any

import pytest

from mixlingua.cli.check import binding_problems

HERE = "mixlingua.errors.raise_problems"  # takes `problems` alone


@pytest.mark.parametrize(
    ("node", "problem"),
    [
        ({"_target_": HERE, "problem": 1, "problems": 2}, "x.problem: raise_problems takes no 'problem'. Did you mean"),
        ({"_target_": HERE, "zzz": 1, "problems": 2}, "x.zzz: raise_problems takes no 'zzz'. It takes problems."),
        ({"_target_": HERE}, "x: raise_problems needs 'problems', which is not set."),
        ({"_target_": "mixlingua.errors.raise_it"}, "x._target_: cannot import 'mixlingua.errors.rai"),
        ({"_target_": "mixlingua.nowhere.thing"}, "x._target_: cannot import 'mixlingua.nowhere.thing'"),
    ],
)  # fmt: skip
def test_a_misfit_is_named(node: dict[str, Any], problem: str) -> None:
    (found,) = binding_problems(node, "x")
    assert found.startswith(problem)


def test_a_fit_passes_and_a_partial_node_may_lack_keys() -> None:
    assert not list(binding_problems({"_target_": HERE, "problems": []}, "x"))
    assert not list(binding_problems({"_target_": HERE, "_partial_": True}, "x"))
    assert len(list(binding_problems({"_target_": HERE, "_partial_": True, "zzz": 1}, "x"))) == 1


def test_nested_nodes_are_named_by_their_path() -> None:
    tree = {"a": {"b": {"_target_": HERE}}, "c": [{"_target_": HERE}]}
    assert [problem.split(":")[0] for problem in binding_problems(tree, "x")] == ["x.a.b", "x.c[0]"]


def test_methods_are_found() -> None:
    assert not list(binding_problems({"_target_": "pathlib.Path.cwd"}, "x"))
    assert Path.cwd()
