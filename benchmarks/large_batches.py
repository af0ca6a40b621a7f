"""Batches larger than memory: chunks whose activations are held at once, against the plain step and the peer's cache.

    python benchmarks/large_batches.py [--precision fp32|bf16] [--pairs 512] [--chunk-size 128] [--rounds 3] [--small]
    python benchmarks/large_batches.py --precision bf16 --pairs 8192 --only mixlingua     # memory of a large batch

Short pairs: made-up texts, cut to 16 tokens. One step is loss, gradient and update. The peer is sentence-transformers'
CachedMultipleNegativesRankingLoss with mini batches of as many texts. The three take turns on the same batch; their
losses must agree, or the benchmark stops.

The last line is a JSON object: ratio (the peer's seconds over ours), ours and peer (seconds, medians), spread (of the
ratio over rounds, lowest and highest), over_plain (ours over the plain step), pairs, and memory (the most MiB of a
process that takes one step). With --only: seconds and peak_mib of that one.
"""

import statistics
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from measure import (
    TEMPERATURE,
    compared,
    in_turn,
    load_encoder,
    parser_of,
    peak_memory,
    print_figures,
    print_peak_memory,
    print_table,
    seconds,
)
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.losses import CachedMultipleNegativesRankingLoss

from mixlingua.losses.infonce import info_nce
from mixlingua.model.folder import save_folder

CONTENDERS = ("mixlingua", "plain", "sentence-transformers")
TOKENS = 16


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--pairs", type=int, default=512)
    parser.add_argument("--chunk-size", type=int, default=128)
    parser.add_argument("--only", choices=CONTENDERS, help="one step of one of them, and its peak memory")
    arguments = parser.parse_args()
    if arguments.small:
        arguments.pairs, arguments.chunk_size, arguments.rounds = 32, 8, 1
    pairs, small, half = arguments.pairs, arguments.small, arguments.precision == "bf16"
    texts = [(f"query: what is number {n}?", f"passage: {n} is {n * 7919 % 10007}") for n in range(pairs)]
    losses: dict[str, float] = {}
    made: dict[str, Callable[[], None]] = {}

    def step_of(name: str) -> Callable[[], None]:
        if name not in made:
            made[name] = _theirs(texts, small, arguments.chunk_size, half, losses) if name == CONTENDERS[2] else _ours(
                texts, small, arguments.chunk_size if name == CONTENDERS[0] else None, half, losses, name)  # fmt: skip
        return made[name]

    if arguments.only:
        took = seconds(step_of(arguments.only))
        print(f"{arguments.only}: {pairs:,} pairs in {took:.1f} s")
        print_peak_memory()
        return
    rounds = in_turn({name: step_of(name) for name in CONTENDERS}, arguments.rounds)
    np.testing.assert_allclose(losses["plain"], losses["mixlingua"], rtol=2e-2 if half else 1e-3)
    np.testing.assert_allclose(losses["sentence-transformers"], losses["mixlingua"], rtol=0.1 if half else 1e-2)
    command = [__file__, "--precision", arguments.precision, "--pairs", str(pairs), "--chunk-size",
               str(arguments.chunk_size), *(["--small"] if small else [])]  # fmt: skip
    memory = {name: peak_memory([*command, "--only", name]) for name in CONTENDERS}
    medians = {name: statistics.median(values) for name, values in rounds.items()}
    rows = [
        (name, f"{1e3 * value / pairs:.2f}", f"{value / medians['plain']:.2f}", f"{memory[name] or 0:,.0f}")
        for name, value in medians.items()
    ]
    title = f"{pairs:,} pairs in chunks of {arguments.chunk_size} texts, {arguments.precision}"
    print_table(title, ("", "ms a pair", "of the plain step", "peak MiB"), rows)
    figures = compared(rounds["mixlingua"], rounds["sentence-transformers"])
    over_plain = medians["mixlingua"] / medians["plain"]
    print_figures(figures | {"over_plain": over_plain, "pairs": pairs, "memory": memory})


def _ours(
    texts: list[tuple[str, str]], small: bool, chunk_size: int | None, half: bool, losses: dict[str, float], name: str
) -> Callable[[], None]:
    encoder = load_encoder(small, max_query_length=TOKENS, max_passage_length=TOKENS, query_prefix="",
                           passage_prefix="", chunk_size=chunk_size)  # fmt: skip
    features = [encoder.tokenizer.queries([q for q, _ in texts]), encoder.tokenizer.passages([p for _, p in texts])]
    optimizer = torch.optim.AdamW([p for p in encoder.parameters() if p.requires_grad], lr=0.0, fused=True)

    ignored = torch.zeros(len(texts), len(texts), dtype=torch.bool)

    def step() -> None:
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            queries, passages = encoder.encode_together(features)
            loss = info_nce(queries, passages, torch.arange(len(texts)), ignored, 1 / TEMPERATURE)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses[name] = loss.item()

    return step


def _theirs(
    texts: list[tuple[str, str]], small: bool, mini_batch: int, half: bool, losses: dict[str, float]
) -> Callable[[], None]:
    with tempfile.TemporaryDirectory() as folder:
        save_folder(load_encoder(small, max_query_length=TOKENS, max_passage_length=TOKENS, query_prefix="",
                                 passage_prefix=""), Path(folder) / "model")  # fmt: skip
        model = SentenceTransformer(str(Path(folder) / "model"), device="cpu").train()
    for layer in model.modules():
        if isinstance(layer, torch.nn.Dropout):
            layer.p = 0.0
    model[0].auto_model.get_input_embeddings().requires_grad_(False)
    loss_of = CachedMultipleNegativesRankingLoss(model, scale=1 / TEMPERATURE, mini_batch_size=mini_batch)
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=0.0, fused=True)
    features = [model.preprocess([q for q, _ in texts]), model.preprocess([p for _, p in texts])]

    def step() -> None:
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            loss = loss_of(features, None)
            loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses["sentence-transformers"] = loss.item()

    return step


if __name__ == "__main__":
    main()
