"""Every file in conf/ composes into what its constructors take; the keys of the default configuration are frozen."""

import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hydra.utils import get_object
from omegaconf import OmegaConf

from mixlingua.cli.configuration import compose, unknown_keys
from mixlingua.signatures import REQUIRED, UNREADABLE, signature

CONF = Path(__file__).resolve().parents[2] / "conf"
CHOICES = sorted(path.relative_to(CONF).with_suffix("").as_posix() for path in CONF.rglob("*.yaml"))
TARGETS = sorted({name for file in CONF.rglob("*.yaml") for name in re.findall(r"_target_: (\S+)", file.read_text())})
KEYS = Path(__file__).with_name("keys.txt")


def composed(*overrides: str) -> Any:
    return OmegaConf.to_container(compose(overrides), resolve=False)


@pytest.mark.parametrize("choice", CHOICES)
def test_each_file_composes_and_gives_constructors_what_they_take(choice: str) -> None:
    group, _, name = choice.rpartition("/")
    tree = composed(f"{group}={name}") if group else composed()
    assert [problem for part in tree for problem in unknown_keys(tree[part], part)] == []
    assert tree["trainer"]["use_distributed_sampler"] is False  # or Lightning replaces the batch plan
    assert set(tree["trainer"]) <= set(signature("pytorch_lightning.trainer.trainer.Trainer").defaults)


@pytest.mark.parametrize("target", TARGETS)
def test_a_signature_read_from_source_is_that_of_the_constructor(target: str) -> None:
    everything = inspect.signature(get_object(target)).parameters.values()
    parameters = [parameter for parameter in everything if parameter.kind is not parameter.VAR_KEYWORD]
    read = signature(target)
    assert read is not None and list(read.defaults) == [parameter.name for parameter in parameters]
    for parameter in parameters:
        default = read.defaults[parameter.name]
        if default is UNREADABLE:
            assert not target.startswith("mixlingua."), "a default of ours is a literal or a constant"
        elif parameter.default is parameter.empty:
            assert default == REQUIRED
        elif repr(parameter.default) == "<factory>":  # of a data class
            assert default in ([], {}) or "_target_" in default
        else:
            assert default == (list(parameter.default) if isinstance(parameter.default, tuple) else parameter.default)


@pytest.mark.parametrize("target", TARGETS)
def test_every_argument_is_explained_by_its_constructor(target: str) -> None:
    """The reference is made of lines `name: meaning`."""
    constructor = get_object(target)
    classes = constructor.__mro__ if inspect.isclass(constructor) else [constructor]
    texts = [text for owner in classes for text in (owner.__doc__, owner.__init__.__doc__) if text]
    lines = [line.strip() for text in texts for line in text.splitlines()]
    explained = {name for line in lines for name in line.partition(":")[0].split(", ")}
    assert set(signature(target).defaults) <= explained


def test_keys_of_the_default_configuration_are_frozen() -> None:
    """Keys are what users' commands and scripts rely on. After a change that is meant:

    python run.py --cfg job, then write the new list to keys.txt.
    """
    assert list(leaves(composed())) == KEYS.read_text(encoding="utf-8").split()


def leaves(tree: dict[str, Any], prefix: str = "") -> Iterator[str]:
    for key, value in sorted(tree.items()):
        if isinstance(value, dict) and value:
            yield from leaves(value, f"{prefix}{key}.")
        elif key != "_target_":
            yield f"{prefix}{key}"
