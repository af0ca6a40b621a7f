"""mixlingua: train and measure multilingual retrievers.

    encoder = mixlingua.load_encoder("e5_small_q4")
    vectors = encoder.encode(["Wo liegt Kairo?"], side="query")
    print(mixlingua.evaluate(encoder, mixlingua.benchmark("atlas")))
    mixlingua.train(encoder, "pairs.jsonl", steps=100)
    encoder.save("my-encoder")
    mixlingua.Retriever.load("outputs/DATE/TIME").search("Wo liegt Kairo?", k=10)

Importing the package costs no torch: the modules behind these names are imported when one of them is used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mixlingua.library import Encoder, Figures, benchmark, evaluate, load_encoder, train
    from mixlingua.search.retriever import Result, Retriever

__version__ = "0.1.0"
__all__ = ["Encoder", "Figures", "Result", "Retriever", "benchmark", "evaluate", "load_encoder", "train"]
_OF_SEARCH = ("Result", "Retriever")


def __getattr__(name: str) -> Any:
    if name in __all__:
        return getattr(import_module(f"mixlingua.{'search.retriever' if name in _OF_SEARCH else 'library'}"), name)
    raise AttributeError(f"module 'mixlingua' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
