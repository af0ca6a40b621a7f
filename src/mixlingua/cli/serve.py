"""action=serve: answer searches over one index or several, and embed texts, over HTTP."""

import logging
import os
from collections.abc import Mapping
from pathlib import Path

from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from mixlingua.cli.index import index as make_index
from mixlingua.cli.search import check_known_model, given_encoder, model_arguments
from mixlingua.cli.show import say
from mixlingua.data.atlas import REVISION, evaluation_split
from mixlingua.distributed import local_device
from mixlingua.errors import ConfigError, Interrupted
from mixlingua.files import cache_dir, content_hash, lock
from mixlingua.model.pretrained import PretrainedEncoder
from mixlingua.search.folder import MANIFEST, IndexFolder
from mixlingua.search.retriever import Retriever
from mixlingua.serving.server import check_installed, run_server
from mixlingua.serving.settings import ServerSettings

logger = logging.getLogger(__name__)
# PyTorch and oneDNN keep what they prepared for a product of each shape, 1,024 of them in every thread. Batches of
# requests have many shapes: in bf16 the server would grow by 700 MB. A smaller number costs no time.
_CACHES_OF_SHAPES = ("LRU_CACHE_CAPACITY", "ONEDNN_PRIMITIVE_CACHE_CAPACITY")
_EXAMPLES = ("en", "de", "ar", "hi", "zh")  # languages of the questions that the page offers on the embedded data


def serve(cfg: DictConfig, run_dir: Path) -> dict[str, float]:
    """Serve `index=DIR` and the indexes of server.more; without an index, the embedded passages. Ends by a signal.

    Returns the number of documents. Raises ConfigError where packages are not installed or the address is taken, and
    for settings that an index has already, DataError where a folder holds no index, ModelError for another model than
    that of `index=DIR`.
    """
    check_installed()
    for name in _CACHES_OF_SHAPES:
        os.environ.setdefault(name, "64")
    if cfg.corpus:
        raise ConfigError("corpus: action=serve serves index=DIR. Make that first, by action=index with this corpus.")
    if cfg.postprocess:
        raise ConfigError(
            "postprocess: action=serve fits no layer. Make an index with it, by action=index, and serve index=DIR."
        )
    settings: ServerSettings = instantiate(cfg.server)
    embedded = cfg.index.get("path") is None
    if not embedded:
        check_known_model(cfg, IndexFolder.open(cfg.index.path))
    first = _embedded_index(cfg) if embedded else Path(cfg.index.path)
    folders = {"atlas" if embedded else _name(first): first}
    for more in map(Path, settings.more):
        if _name(more) in folders:
            raise ConfigError(f"server.more: two indexes are named '{_name(more)}', by their folders. Rename one.")
        folders[_name(more)] = more
    device = str(local_device(cfg.trainer.accelerator))
    budget = cfg.evaluation.token_budget
    given = None if embedded else given_encoder(cfg)
    retrievers = {
        name: Retriever.load(path, encoder=given if path == first else None, device=device, token_budget=budget)
        for name, path in folders.items()
    }
    try:
        run_server(retrievers, settings, lambda address: _announce(address, retrievers, settings), _examples(embedded))
    except Interrupted as interrupted:
        logger.info("%s: what was asked is answered, and the server has ended", interrupted.signal.name)
    return {"documents": sum(retriever.count for retriever in retrievers.values())}


def _name(folder: Path) -> str:
    return folder.expanduser().resolve().name


def _embedded_index(cfg: DictConfig) -> Path:
    """The index of atlas with the configured model, in the cache; made where it is not there."""
    arguments, chosen = model_arguments(cfg), OmegaConf.to_container(cfg.index, resolve=True)
    weights = PretrainedEncoder(**arguments).load(cfg.seed).fingerprint()  # those in a folder may be others by now
    key = content_hash(REVISION, repr((arguments, chosen)), weights, str(cfg.seed), str(cfg.evaluation.precision))
    folder = cache_dir() / "served" / key[:16]
    with lock(folder):
        if not (folder / MANIFEST).is_file():
            make_index(cfg, folder)
    return folder


def _examples(embedded: bool) -> list[tuple[str, str]]:
    """A question of the embedded data in some languages, each about another fact."""
    if not embedded:
        return []
    queries = evaluation_split().queries
    facts = sorted(queries[_EXAMPLES[0]])
    step = len(facts) // len(_EXAMPLES)
    return [(code, queries[code][facts[number * step]]) for number, code in enumerate(_EXAMPLES)]


def _announce(address: str, retrievers: Mapping[str, Retriever], settings: ServerSettings) -> None:
    for name, retriever in retrievers.items():
        languages = f"{len(retriever.languages)} languages"
        say(f"{name}: {retriever.count:,} documents in {languages}, {retriever.model_name}")
    say(f"Serving at {address} (the page), {address}/search, {address}/v1/embeddings. Ctrl-C ends.")
    if not settings.is_local and settings.token is None:
        say("Every machine of the network may ask, as server.token is not set.", "yellow")
