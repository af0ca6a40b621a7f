"""Low-rank adapters: training beside the weights of a transformer, keeping what was learned, and adding it to them."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import nn

from mixlingua.errors import ConfigError, ModelError, suggest
from mixlingua.files import atomic_folder
from mixlingua.model.encoder import BiEncoder


@dataclass(frozen=True)
class LoRA:
    """W + alpha / rank * B A for the weights W (out, in) of chosen linear layers, with W frozen and A, B trained.

    A: (rank, in), random; B: (out, rank), 0 at first, so that training starts from the model as it is.

    rank: of the product B A; the size of what is trained
    alpha: the product is multiplied by alpha / rank
    dropout: of what goes into the product, in training
    targets: linear layers by their name, or by its end, such as attention.output.dense; null: those that make queries
    and values of attention, as the architecture calls them
    train_dense: train layers after pooling as well (LaBSE has one)

    Source: Hu et al. 2022 (arXiv 2106.09685), section 4.1, by the library peft.
    """

    rank: int = 16
    alpha: float = 32
    dropout: float = 0.0
    targets: Sequence[str] | None = None
    train_dense: bool = False

    def __post_init__(self) -> None:
        if self.rank < 1:
            raise ConfigError(f"adapter.rank={self.rank}: 1 or more; adapter=none is training without an adapter.")
        if not self.alpha > 0:
            raise ConfigError(f"adapter.alpha={self.alpha}: it must be above 0.")
        if not 0 <= self.dropout < 1:
            raise ConfigError(f"adapter.dropout={self.dropout}: a probability of at least 0 and below 1.")
        if self.targets is not None and (isinstance(self.targets, str) or not self.targets):
            raise ConfigError(f"adapter.targets={self.targets}: a list of linear layers, such as [query,value].")

    def attach(self, encoder: BiEncoder, seed: int) -> None:
        """Put an adapter on each target and freeze all else, in place; seed decides A.

        Targets that are frozen already (model.freeze_layers) get none. Raises ModelError for a target that the
        transformer has no linear layer for, or frozen ones only, and for train_dense without a layer to train.
        """
        from peft import LoraConfig, inject_adapter_in_model

        targets = self.targets or _queries_and_values(encoder.transformer)
        chosen = [name for target in targets for name in _trained_layers(encoder.transformer, target)]
        if self.train_dense and not any(parameter.requires_grad for parameter in encoder.dense.parameters()):
            raise ModelError("adapter.train_dense=true: the model has no layer after pooling that could be trained.")
        config = LoraConfig(
            r=self.rank,
            lora_alpha=self.alpha,  # type: ignore[arg-type]
            lora_dropout=self.dropout,
            target_modules=chosen,
            base_model_name_or_path=_public_name(encoder.transformer.name_or_path),
            task_type="FEATURE_EXTRACTION",
        )
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            inject_adapter_in_model(config, encoder.transformer)
        if not self.train_dense:
            encoder.dense.requires_grad_(False)


def merge_adapters(encoder: BiEncoder) -> None:
    """Add every adapter to the layer that it is on, in place: a plain encoder, whose weights stay frozen.

    Nothing to do where the encoder has none.
    """
    for name, layer in _adapters(encoder):
        layer.merge()
        encoder.set_submodule(name, layer.get_base_layer())


def save_adapters(encoder: BiEncoder, target: Path, *, share: float = 1.0) -> None:
    """Write the adapters in the format of peft, whole or not at all; PeftModel.from_pretrained reads it.

    share: of what they add to the weights. They must not be merged yet. Nothing to do where the encoder has none.
    """
    if not _adapters(encoder):
        return
    from peft import get_peft_model_state_dict

    trained: Any = encoder.transformer.peft_config
    config = replace(trained["default"], inference_mode=True, lora_alpha=share * trained["default"].lora_alpha)
    tensors = get_peft_model_state_dict(encoder.transformer, adapter_name="default")
    with atomic_folder(target, mark="adapter_config.json") as folder:
        config.save_pretrained(folder)
        contiguous = {
            f"base_model.model.{name}": tensor.detach().cpu().contiguous() for name, tensor in tensors.items()
        }
        save_file(contiguous, folder / "adapter_model.safetensors", metadata={"format": "pt"})


def _public_name(folder: str | None) -> str | None:
    """The hub id of a folder of the hub's cache; other folders as they are."""
    found = re.search(r"models--(.+?)--(.+)[/\\]snapshots[/\\]", folder or "")
    return f"{found[1]}/{found[2]}" if found else folder


def adapter_alpha(encoder: BiEncoder) -> float | None:
    """The alpha of its adapters; None where it has none."""
    return next((alpha for _, layer in _adapters(encoder) for alpha in layer.lora_alpha.values()), None)


def _adapters(encoder: nn.Module) -> list[tuple[str, Any]]:
    """Name and layer of each of peft's LoRA layers, told by their interface: peft takes a second to import."""
    return [(name, layer) for name, layer in encoder.named_modules() if hasattr(layer, "get_base_layer")]


# What architectures call the layers of queries and values: BERT, Llama and Qwen, MPNet and T5, DistilBERT, DeBERTa, and
# one layer for both and the keys in ModernBERT, NomicBERT and GPT-NeoX.
_QUERIES_AND_VALUES = (
    ("query", "value"), ("q_proj", "v_proj"), ("q", "v"), ("q_lin", "v_lin"), ("query_proj", "value_proj"), ("Wqkv",),
    ("query_key_value",),
)  # fmt: skip


def _queries_and_values(transformer: nn.Module) -> tuple[str, ...]:
    """Raises ModelError where the architecture calls them by no known name."""
    names = {_last_parts(name, 1) for name, layer in transformer.named_modules() if isinstance(layer, nn.Linear)}
    for targets in _QUERIES_AND_VALUES:
        if names.issuperset(targets):
            return targets
    raise ModelError(
        f"adapter.targets is null, and it is not known which linear layers of the model make queries and values. Name "
        f"some of {', '.join(sorted(names))}."
    )


def _trained_layers(transformer: nn.Module, target: str) -> list[str]:
    """The names of the linear layers that target means and that would be trained."""
    layers = {name: layer for name, layer in transformer.named_modules() if isinstance(layer, nn.Linear)}
    matching = [name for name in layers if f".{name}".endswith(f".{target}")]
    if not matching:
        names = sorted({_last_parts(name, 1) for name in layers})
        hint = suggest(target, {_last_parts(name, target.count(".") + 1) for name in layers})
        raise ModelError(
            f"adapter.targets: the model has no linear layer '{target}'; choose of {', '.join(names)}.{hint}"
        )
    trained = [name for name in matching if layers[name].weight.requires_grad]
    if not trained:
        raise ModelError(
            f"adapter.targets: every '{target}' lies in a frozen layer. Lower model.freeze_layers, or leave it out."
        )
    return trained


def _last_parts(name: str, num_parts: int) -> str:
    return ".".join(name.split(".")[-num_parts:])
