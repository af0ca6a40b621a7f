"""What one GPU does with this project, beside sentence-transformers: checks first, then speed. Needs no network.

    python benchmarks/gpu.py [--json FILE] [--seconds 420]

Weights are random: speed depends on shapes alone. Queries have 8 to 32 tokens and passages 32 to 128, drawn uniformly;
real tokens alone count, for both sides. Model FLOP utilisation is the FLOP that the layers need for these tokens
(three times a forward pass, embeddings left out) over the bfloat16 rate of this card's own matrix product, measured at
the start. The peer runs its own model and losses under the same autocast, with scaled-dot-product attention. Each row
is the median of a few runs in turn. Rows that do not fit into the time left say so.
"""

import argparse
import gc
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table
from sentence_transformers import SentenceTransformer, losses
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from torch import Tensor
from torch.nn import functional
from torch.utils.checkpoint import checkpoint
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

from mixlingua.data.tokenizer import PairTokenizer
from mixlingua.losses.infonce import info_nce
from mixlingua.model.encoder import BiEncoder
from mixlingua.model.folder import save_folder

ROOT = Path(__file__).resolve().parents[1]
TEMPERATURE = 0.02
QUERY_TOKENS, PASSAGE_TOKENS = (8, 32), (32, 128)
VOCABULARY = 8_192  # small: embeddings are left out of the count, and are no part of what is measured


@dataclass(frozen=True)
class Size:
    """An encoder's shape. batch: pairs of its training rows."""

    name: str
    hidden: int
    layers: int
    heads: int
    batch: int

    @property
    def layer_parameters(self) -> int:
        """Weights of matrix products in all layers."""
        return 12 * self.hidden**2 * self.layers

    def training_flop(self, lengths: Tensor) -> float:
        """FLOP of a forward and a backward pass over texts of these lengths, (N,) tokens."""
        tokens, pairs = float(lengths.sum()), float((lengths.double() ** 2).sum())
        return 3 * (2 * self.layer_parameters * tokens + 4 * self.hidden * self.layers * pairs)


SIZES = (
    Size("e5-small", 384, 12, 12, 1024),
    Size("LaBSE", 768, 12, 12, 1024),
    Size("XLM-R large", 1024, 24, 16, 512),
)


class Report:
    """Rows, printed and written as they come: a run that is stopped leaves those that it had."""

    def __init__(self, seconds: float, path: Path | None) -> None:
        self.rows: list[dict[str, object]] = []
        self.path = path
        self.deadline = time.monotonic() + seconds

    @property
    def time_left(self) -> bool:
        return time.monotonic() < self.deadline

    def add(self, what: str, **values: object) -> None:
        self.rows.append({"what": what, **values})
        shown = ", ".join(f"{name} {_shown(value)}" for name, value in values.items())
        print(f"{what}: {shown}", flush=True)
        if self.path is not None:
            self.path.write_text(json.dumps(self.rows, indent=1) + "\n", encoding="utf-8")


def _shown(value: object) -> str:
    return f"{value:,.3g}" if isinstance(value, float) and value < 1000 else f"{value:,.0f}" if isinstance(
        value, float
    ) else str(value)  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="where the rows are written")
    parser.add_argument("--seconds", type=float, default=420, help="no new row is begun after so long")
    parser.add_argument("--no-tests", action="store_true", help="leave out the tests that are marked gpu")
    arguments = parser.parse_args()
    if not torch.cuda.is_available():
        parser.error("no CUDA device is visible here")
    torch.set_float32_matmul_precision("high")

    report = Report(arguments.seconds, arguments.json)
    peak = matrix_product_rate()
    libraries = {name: version(name) for name in ("torch", "transformers", "sentence-transformers")}
    report.add("card", name=torch.cuda.get_device_name(), **libraries, peak_tflops=peak / 1e12)
    if not arguments.no_tests:
        report.add("tests marked gpu", outcome=gpu_tests())
    report.add("packed against padded, bfloat16", relative_error=packed_error())
    for size in SIZES:
        measure_training(report, size, peak)
    measure_largest_batch(report, SIZES[1])
    measure_cached(report, SIZES[0], 65_536)
    for size in SIZES:
        measure_encoding(report, size)
    for rows in (10**6, 10**7):
        measure_search(report, rows)

    table = Table(title="One GPU against sentence-transformers", show_lines=False)
    for heading in ("what", "figures"):
        table.add_column(heading)
    for row in report.rows:
        table.add_row(str(row["what"]), ", ".join(f"{k} {_shown(v)}" for k, v in row.items() if k != "what"))
    Console(width=150).print(table)


# What is measured


def matrix_product_rate() -> float:
    """FLOP a second of a large bfloat16 matrix product on random numbers."""
    a, b = (torch.randn(8192, 8192, device="cuda", dtype=torch.bfloat16) for _ in range(2))
    return 2 * 8192**3 / seconds_of(lambda: a @ b, repeats=20)


def gpu_tests() -> str:
    """The last line of pytest over the tests that need a GPU."""
    command = [sys.executable, "-m", "pytest", "-q", "-m", "gpu", "-p", "no:cacheprovider", str(ROOT / "tests")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    lines = [line for line in done.stdout.splitlines() if line.strip()]
    return lines[-1] if lines else done.stderr.strip()[-300:]


def packed_error() -> float:
    """Relative distance of packed vectors from those of the transformer's own padded forward, both in bfloat16."""
    size = SIZES[0]
    encoder = new_encoder(size)
    features = drawn_features(256, PASSAGE_TOKENS, seed=1)
    with torch.inference_mode(), torch.autocast("cuda", torch.bfloat16):
        packed = encoder(features)
        encoder.transformer.set_attn_implementation("sdpa")
        states = encoder.transformer(**features).last_hidden_state.float()
    mask = features["attention_mask"].unsqueeze(-1)
    padded = functional.normalize((states * mask).sum(1) / mask.sum(1), dim=-1)
    return float((packed - padded).norm() / padded.norm())


def measure_training(report: Report, size: Size, peak: float) -> None:
    """A training step: forward, InfoNCE, backward, clipping, fused AdamW. Ours, ours compiled, the peer."""
    if not report.time_left:
        report.add(f"training, {size.name}", outcome="not measured: no time left")
        return
    batches = [pair_batch(size.batch, seed) for seed in range(4)]
    flop = statistics.fmean(size.training_flop(_lengths(batch)) for batch in batches)
    figures: dict[str, float] = {}
    for name, make in (("ours", our_step), ("ours, compiled", our_compiled_step), ("peer", peer_step)):
        torch.cuda.reset_peak_memory_stats()
        try:
            step = make(size)
            for batch in batches:
                step(batch)
            seconds = seconds_of_each(step, batches * 2)
        except torch.cuda.OutOfMemoryError:
            report.add(f"training, {size.name}, {name}", outcome="out of memory")
            continue
        finally:
            free()
        figures[name] = seconds
        report.add(
            f"training, {size.name}, batch {size.batch}, {name}",
            pairs_per_second=size.batch / seconds,
            flop_utilisation=flop / seconds / peak,
            peak_gib=torch.cuda.max_memory_allocated() / 2**30,
        )
    if {"ours", "peer"} <= set(figures):
        best = min(value for name, value in figures.items() if name != "peer")
        report.add(f"training, {size.name}, ratio", times_the_peer=figures["peer"] / best)


def measure_largest_batch(report: Report, size: Size) -> None:
    """The largest batch, by doubling, whose step fits into memory."""
    for name, make in (("ours", our_step), ("peer", peer_step)):
        batch, largest = 1024, 0
        while report.time_left and batch <= 65_536:
            try:
                make(size)(pair_batch(batch, 0))
                largest, batch = batch, batch * 2
            except torch.cuda.OutOfMemoryError:
                break
            finally:
                free()
        report.add(f"largest batch by doubling, {size.name}, {name}", pairs=largest)


def measure_cached(report: Report, size: Size, count: int) -> None:
    """One step of a batch that does not fit at once: ours by chunks of 2,048 texts, the peer by its cached loss."""
    batch = pair_batch(count, 0)
    for name, make in (("ours", lambda size: our_step(size, chunk=2048)), ("peer", peer_cached_step)):
        if not report.time_left:
            report.add(f"cached batch of {count:,}, {size.name}, {name}", outcome="not measured: no time left")
            continue
        torch.cuda.reset_peak_memory_stats()
        try:
            step = make(size)
            step(batch)
            seconds = seconds_of_each(step, [batch])
            report.add(
                f"cached batch of {count:,}, {size.name}, {name}",
                pairs_per_second=count / seconds,
                peak_gib=torch.cuda.max_memory_allocated() / 2**30,
            )
        except torch.cuda.OutOfMemoryError:
            report.add(f"cached batch of {count:,}, {size.name}, {name}", outcome="out of memory")
        finally:
            free()


def measure_encoding(report: Report, size: Size) -> None:
    """Passages a second, from token ids: batches by a budget of 65,536 tokens, against the peer's 512 texts."""
    if not report.time_left:
        report.add(f"encoding, {size.name}", outcome="not measured: no time left")
        return
    texts = drawn_features(16_384, PASSAGE_TOKENS, seed=2)
    order = torch.argsort(texts["attention_mask"].sum(1), descending=True)
    encoder, peer = new_encoder(size).eval(), new_peer(size).eval()

    def run(forward: Callable[[dict[str, Tensor]], Tensor], rows: int) -> None:
        with torch.inference_mode(), torch.autocast("cuda", torch.bfloat16):
            for batch in order.split(rows):
                longest = int(texts["attention_mask"][batch[0]].sum())
                forward({name: tensor[batch, :longest] for name, tensor in texts.items()})

    def peer_forward(features: dict[str, Tensor]) -> Tensor:
        return peer(features)["sentence_embedding"]

    seconds = {"ours": [], "peer": []}
    for _ in range(4):
        seconds["ours"].append(seconds_of(lambda: run(encoder, 1024)))
        seconds["peer"].append(seconds_of(lambda: run(peer_forward, 512)))
    ours, theirs = (statistics.median(values[1:]) for values in seconds.values())
    report.add(
        f"encoding, {size.name}",
        ours_per_second=len(order) / ours,
        peer_per_second=len(order) / theirs,
        times_the_peer=theirs / ours,
    )
    free()


def measure_search(report: Report, rows: int) -> None:
    """Exact search: the first 100 of `rows` vectors of 384 components for 1,024 queries, block by block."""
    if not report.time_left:
        report.add(f"exact search of {rows:,}", outcome="not measured: no time left")
        return
    generator = torch.Generator("cuda").manual_seed(0)
    corpus = torch.empty(rows, 384, device="cuda", dtype=torch.bfloat16)
    for block in corpus.split(10**6):
        block.copy_(functional.normalize(torch.randn(len(block), 384, device="cuda", generator=generator), dim=-1))
    queries = functional.normalize(torch.randn(1024, 384, device="cuda", generator=generator), dim=-1).bfloat16()

    def search() -> None:
        best = torch.full((len(queries), 100), -torch.inf, device="cuda")
        for block in corpus.split(10**6):
            scores = (queries @ block.T).float().topk(100).values
            best = torch.cat([best, scores], 1).topk(100).values

    search()
    report.add(f"exact search of {rows:,}", queries_per_second=len(queries) / seconds_of(search, repeats=3))
    free()


# Encoders, batches and steps


def new_encoder(size: Size) -> BiEncoder:
    config = BertConfig(
        vocab_size=VOCABULARY, hidden_size=size.hidden, num_hidden_layers=size.layers, num_attention_heads=size.heads,
        intermediate_size=4 * size.hidden, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0,
    )  # fmt: skip
    torch.manual_seed(0)
    transformer = BertModel(config, add_pooling_layer=False)
    tokenizer = PairTokenizer(
        _tokenizer(), query_prefix="", passage_prefix="", max_query_length=256, max_passage_length=256
    )
    return BiEncoder(transformer, tokenizer, pooling="mean", dense=[]).cuda()


def _tokenizer() -> PreTrainedTokenizerFast:
    words = ["[PAD]", "[CLS]", "[SEP]", "[UNK]", "[MASK]", *(f"w{number}" for number in range(VOCABULARY - 5))]
    tokenizer = Tokenizer(models.WordLevel({word: place for place, word in enumerate(words)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 1), ("[SEP]", 2)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="[PAD]", cls_token="[CLS]", sep_token="[SEP]", unk_token="[UNK]",
        mask_token="[MASK]",
    )  # fmt: skip


def new_peer(size: Size) -> SentenceTransformer:
    with tempfile.TemporaryDirectory() as folder:
        save_folder(new_encoder(size), Path(folder) / "model")
        peer = SentenceTransformer(str(Path(folder) / "model"), device="cuda")
    peer[0].auto_model.set_attn_implementation("sdpa")
    return peer.train()


def drawn_features(count: int, tokens: tuple[int, int], seed: int) -> dict[str, Tensor]:
    """input_ids and attention_mask, (count, L), with lengths drawn uniformly from `tokens`, ends included."""
    generator = torch.Generator().manual_seed(seed)
    lengths = torch.randint(tokens[0], tokens[1] + 1, (count,), generator=generator)
    mask = (torch.arange(int(lengths.max())) < lengths[:, None]).long()
    ids = torch.randint(5, VOCABULARY, mask.shape, generator=generator) * mask
    return {"input_ids": ids.cuda(), "attention_mask": mask.cuda()}


Batch = tuple[dict[str, Tensor], dict[str, Tensor]]


def pair_batch(count: int, seed: int) -> Batch:
    return drawn_features(count, QUERY_TOKENS, 2 * seed), drawn_features(count, PASSAGE_TOKENS, 2 * seed + 1)


def _lengths(batch: Batch) -> Tensor:
    return torch.cat([features["attention_mask"].sum(1) for features in batch])


def our_step(size: Size, chunk: int | None = None, compiled: bool = False) -> Callable[[Batch], None]:
    encoder = new_encoder(size).train()
    encoder.chunk_size = chunk
    if compiled:
        encoder.transformer.compile(dynamic=True)
    optimizer = torch.optim.AdamW(encoder.parameters(), lr=1e-5, fused=True)

    def step(batch: Batch) -> None:
        with torch.autocast("cuda", torch.bfloat16):
            queries, passages = encoder.encode_together(batch)
            loss = our_loss(queries, passages)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(encoder.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()

    return step


def our_loss(queries: Tensor, passages: Tensor) -> Tensor:
    """InfoNCE in blocks of 4,096 queries, whose scores are computed again for the gradient where there are several."""

    def of_block(block: Tensor, positives: Tensor) -> Tensor:
        ignored = torch.zeros(len(block), len(passages), dtype=torch.bool, device="cuda")
        return info_nce(block, passages, positives, ignored, 1 / TEMPERATURE) * len(block)

    positives = torch.arange(len(queries), device="cuda")
    blocks = zip(queries.split(4096), positives.split(4096), strict=True)
    if len(queries) <= 4096:
        return of_block(queries, positives) / len(queries)
    return torch.stack([checkpoint(of_block, *block, use_reentrant=False) for block in blocks]).sum() / len(queries)


def our_compiled_step(size: Size) -> Callable[[Batch], None]:
    return our_step(size, compiled=True)


def peer_step(size: Size) -> Callable[[Batch], None]:
    model = new_peer(size)
    return _peer_step(model, losses.MultipleNegativesRankingLoss(model, scale=1 / TEMPERATURE))


def peer_cached_step(size: Size) -> Callable[[Batch], None]:
    model = new_peer(size)
    loss = losses.CachedMultipleNegativesRankingLoss(model, scale=1 / TEMPERATURE, mini_batch_size=2048)
    return _peer_step(model, loss)


def _peer_step(model: SentenceTransformer, loss: torch.nn.Module) -> Callable[[Batch], None]:
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-5, fused=True)

    def step(batch: Batch) -> None:
        with torch.autocast("cuda", torch.bfloat16):
            value = loss([dict(features) for features in batch], None)
        value.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()

    return step


# Time and memory


def seconds_of(run: Callable[[], object], repeats: int = 1) -> float:
    """Seconds of a run, the mean of `repeats`, after one that is not counted where there are several."""
    if repeats > 1:
        run()
    torch.cuda.synchronize()
    start = time.perf_counter()
    for _ in range(repeats):
        run()
    torch.cuda.synchronize()
    return (time.perf_counter() - start) / repeats


def seconds_of_each(step: Callable[[Batch], None], batches: list[Batch]) -> float:
    """The median of the seconds of one step, over batches."""
    return statistics.median(seconds_of(lambda batch=batch: step(batch)) for batch in batches)


def free() -> None:
    gc.collect()
    torch.cuda.empty_cache()
    torch._dynamo.reset()


if __name__ == "__main__":
    main()
