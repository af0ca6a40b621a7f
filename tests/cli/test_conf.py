"""Every file in conf/ composes and fits what it names; the keys of the default configuration are frozen."""

from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf
from pytorch_lightning import Trainer

from mixlingua.cli.check import binding_problems, signature_problems

CONF = Path(__file__).resolve().parents[2] / "conf"
CHOICES = sorted(path.relative_to(CONF).with_suffix("").as_posix() for path in CONF.rglob("*.yaml"))
KEYS = Path(__file__).with_name("keys.txt")


def composed(*overrides: str) -> Any:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return OmegaConf.to_container(compose("config", list(overrides)), resolve=False)


@pytest.mark.parametrize("choice", CHOICES)
def test_file_composes_and_binds(choice: str) -> None:
    if choice == "experiment/tune" and find_spec("optuna") is None:
        pytest.skip("experiment=tune needs pip install hydra-optuna-sweeper==1.3.0")
    group, _, name = choice.rpartition("/")
    tree = composed(f"{group}={name}") if group else composed()
    assert [problem for part in tree for problem in binding_problems(tree[part], part)] == []
    assert list(signature_problems(Trainer, tree["trainer"], "trainer", complete=False)) == []


@pytest.mark.parametrize("choice", [choice for choice in CHOICES if choice.startswith("trainer/")])
def test_no_trainer_lets_lightning_replace_the_sampler(choice: str) -> None:
    assert composed(choice.replace("/", "="))["trainer"]["use_distributed_sampler"] is False


def test_keys_of_the_default_configuration_are_frozen() -> None:
    """Keys are what users' commands and scripts rely on. After a change that is meant:

    python run.py --cfg job, then write the new list to keys.txt.
    """
    assert list(leaves(composed())) == KEYS.read_text(encoding="utf-8").split()


def leaves(tree: dict[str, Any], prefix: str = "") -> Iterator[str]:
    for key, value in sorted(tree.items()):
        if isinstance(value, dict) and value:
            yield from leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}"
