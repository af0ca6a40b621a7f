"""Encoding speed against sentence-transformers: the same weights, texts, prefixes and threads, in the same process.

    python benchmarks/encode.py [--precision fp32|bf16] [--texts 600] [--all] [--data DIR] [--small]

Texts are a sample of the 26,104 of XQuAD-R where DIR/xquad-r is there, else of the atlas evaluation; lengths and
languages come mixed. bf16 is autocast on both sides. The two are run in turn; the table gives medians. Their vectors
must agree, or the benchmark stops. With --all, our default and the peer's setting that was best on the sample then
encode all texts, once each.

The last line is a JSON object: ratio (the time of the peer's best setting over our default's), ours and peer (seconds,
medians), spread (of the ratio over rounds, lowest and highest), peak_fraction (FLOP of real tokens a second over the
rate of this machine's own matrix product of 3,072 x 384 x 1,536), texts, text_source and int8 (seconds of our default
with precision=int8, whatever the precision of the others).
"""

import os
import random
import statistics
import tempfile
from pathlib import Path

import numpy as np
import torch
from measure import (
    LIGHTNING_PRECISION,
    compared,
    forward_flop,
    in_turn,
    load_encoder,
    matrix_product_rate,
    parser_of,
    print_figures,
    print_table,
)
from sentence_transformers import SentenceTransformer

from mixlingua.evaluation.benchmarks.lareqa import xquad_r
from mixlingua.evaluation.benchmarks.training_data import atlas
from mixlingua.model.folder import save_folder
from mixlingua.retrieval.encode import encode

TOKEN_BUDGETS = (1024, 2048, 4096, 16384)
DEFAULT_BUDGET = 2048
BATCH_SIZES = (32, 128)  # sentence-transformers counts texts; 32 is its default


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--texts", type=int, default=600, help="of the sample")
    parser.add_argument("--all", action="store_true", help="then all texts, once")
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("MIXLINGUA_DATA", "data")))
    arguments = parser.parse_args()
    if arguments.small:
        arguments.texts, arguments.rounds = 40, 1

    precision, half = LIGHTNING_PRECISION[arguments.precision], arguments.precision == "bf16"
    source, every_text = mixed_texts(arguments.data)
    if arguments.small:
        every_text = every_text[:80]
    texts = every_text[: arguments.texts]
    encoder = load_encoder(arguments.small)
    with tempfile.TemporaryDirectory() as folder:
        save_folder(encoder, Path(folder) / "model")
        peer = SentenceTransformer(str(Path(folder) / "model"), device="cpu")

    def ours(budget: int, precision: str = precision) -> np.ndarray:
        return encode(encoder, texts, "passage", token_budget=budget, precision=precision).numpy()

    def theirs(size: int) -> np.ndarray:
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            vectors = peer.encode_document(texts, batch_size=size, normalize_embeddings=True, convert_to_tensor=True)
        return vectors.float().numpy()

    np.testing.assert_allclose(ours(TOKEN_BUDGETS[0]), theirs(BATCH_SIZES[0]), atol=3e-2 if half else 1e-5)
    contenders = {f"mixlingua, {budget:,} tokens a batch": lambda b=budget: ours(b) for budget in TOKEN_BUDGETS}
    contenders |= {f"sentence-transformers, {size} texts a batch": lambda s=size: theirs(s) for size in BATCH_SIZES}
    int8 = f"mixlingua, int8, {DEFAULT_BUDGET:,} tokens a batch"
    contenders[int8] = lambda: ours(DEFAULT_BUDGET, "int8")
    took = in_turn(contenders, arguments.rounds)
    medians = {name: statistics.median(values) for name, values in took.items()}
    default = f"mixlingua, {DEFAULT_BUDGET:,} tokens a batch"
    best_peer = min((name for name in medians if name.startswith("sentence")), key=medians.__getitem__)
    rows = [
        (name, f"{len(texts) / value:,.0f}", f"{medians[best_peer] / value:.2f}") for name, value in medians.items()
    ]
    title = f"{len(texts):,} texts of {source}, {torch.get_num_threads()} threads, {arguments.precision}"
    print_table(title, ("", "texts per second", "times the peer's best"), rows)
    if arguments.all:
        texts = every_text  # what the contenders encode
        took |= in_turn({name: contenders[name] for name in (default, best_peer)}, 1)
    flop = forward_flop(encoder, map(len, encoder.tokenizer.encode(texts, "passage")))
    rate = matrix_product_rate(arguments.precision)
    figures = compared(took[default], took[best_peer])
    print_figures(
        figures
        | {"peak_fraction": flop / figures["ours"] / rate, "texts": len(texts), "text_source": source}
        | {"int8": medians[int8]}  # of the sample
    )


def mixed_texts(data: Path) -> tuple[str, list[str]]:
    """The name of the benchmark that texts are of, and its distinct texts, shuffled."""
    task = xquad_r(data / "xquad-r") if (data / "xquad-r").is_dir() else atlas()
    distinct = sorted(
        {text for side in (task.queries, task.passages) for by_id in side.values() for text in by_id.values()}
    )
    random.Random(0).shuffle(distinct)
    return task.name, distinct


if __name__ == "__main__":
    main()
