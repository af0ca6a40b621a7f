"""Turning texts into vectors: each distinct text once, in batches of similar length, split over the ranks."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from mixlingua import distributed
from mixlingua.data.rows import Side
from mixlingua.data.tokenizer import Cut
from mixlingua.errors import ConfigError, DataError, ModelError, check_choice
from mixlingua.model.encoder import BiEncoder
from mixlingua.model.quantized import quantised

Progress = Callable[[int, int], None]  # texts encoded so far by this rank, texts this rank encodes


class Encode(Protocol):
    """What a benchmark needs of an encoder: a call with N texts of one side gives (N, D) float32 rows on the CPU, the
    same on all ranks, whose inner products are the scores."""

    @property
    def fingerprint(self) -> str:
        """Differs wherever vectors may differ: what was encoded with another one cannot be used."""

    def __call__(self, texts: Sequence[str], side: Side) -> Tensor: ...


@runtime_checkable
class CountsCutTexts(Protocol):
    """An `Encode` that counts the texts that it cuts, each distinct text of a call once."""

    latest_cut: Cut  # of the latest call

    def count(self, cut: Cut, side: Side) -> None:
        """Count texts too whose vectors were stored by an earlier run."""


def encode_checked(encode: Encode, texts: Sequence[str], side: Side, where: str) -> Tensor:
    """(N, D) finite vectors of N texts.

    Raises ModelError starting with `where` where there are not N vectors, or one is not finite: it could rank anywhere.
    """
    vectors = encode(texts, side)
    if len(vectors) != len(texts):
        raise ModelError(f"{where}: {len(texts)} {side} texts were encoded as {len(vectors)} vectors.")
    bad = int((~torch.isfinite(vectors)).any(dim=1).sum())
    if bad:
        raise ModelError(
            f"{where}: {bad} of {len(texts)} {side} vectors hold NaN or infinite values; the model has diverged or "
            "overflows in this precision. Evaluate an earlier checkpoint, or with precision=32-true."
        )
    return vectors


def refuse_half_pairs(texts: Sequence[str], side: Side) -> None:
    """Raise DataError where a text holds half of a surrogate pair, which no tokenizer takes."""
    for text in texts:
        try:
            text.encode("utf-8")
        except UnicodeEncodeError as error:
            raise DataError(
                f"{side} {text[:80]!r}: half of a surrogate pair at character {error.start}. That is no character: "
                "remove it."
            ) from error


def encode(
    encoder: BiEncoder,
    texts: Sequence[str],
    side: Side,
    *,
    token_budget: int,
    precision: str,
    progress: Progress | None = None,
) -> Tensor:
    """The (N, D) float32 vectors of N texts, on the CPU, in the order of `texts`, as `encode_tokens` gives them."""
    distinct = list(dict.fromkeys(texts))
    token_ids = encoder.tokenizer.encode(distinct, side) if distinct else []
    vectors = encode_tokens(encoder, token_ids, token_budget=token_budget, precision=precision, progress=progress)
    if len(distinct) == len(texts):
        return vectors
    row_of_text = {text: row for row, text in enumerate(distinct)}
    return vectors[[row_of_text[text] for text in texts]]


def encode_tokens(
    encoder: BiEncoder,
    token_ids: Sequence[Sequence[int]],
    *,
    token_budget: int,
    precision: str,
    progress: Progress | None = None,
) -> Tensor:
    """The (N, D) float32 vectors of N texts by their token ids, on the CPU, the same on all ranks.

    encoder: maps token features to (n, D) and has `tokenizer` and `embedding_dim`. It runs where its parameters are, in
    evaluation mode, without gradients, and gets back the mode it came in. token_budget: the most tokens of a batch (a
    longer text is a batch of its own); padding counts where the encoder pads its texts. precision: as Lightning names
    it; "*-mixed" runs under autocast; "*-true" computes in that of the weights, which must have it already unless it is
    "32-true"; "int8" multiplies in integers, on CPUs.
    Texts with equal token ids are encoded once, so their vectors are equal to the bit.
    Every rank must call this with the same texts. Raises ConfigError for an unknown precision, one that the weights do
    not have, or a budget below 1.
    """
    if isinstance(token_budget, bool) or not isinstance(token_budget, int) or token_budget < 1:
        raise ConfigError(f"token_budget: {token_budget!r} is not a number of tokens; use 1 or more.")
    device = next(encoder.parameters()).device
    computing = _computing(encoder, precision, device)
    if not token_ids:
        return torch.empty(0, encoder.embedding_dim)

    row_of_ids: dict[tuple[int, ...], int] = {}
    row_of_text = [row_of_ids.setdefault(tuple(ids), len(row_of_ids)) for ids in token_ids]
    distinct_ids = list(row_of_ids)

    batches = length_sorted_batches([len(ids) for ids in distinct_ids], token_budget, padded=not encoder.packed)
    batches = batches[distributed.rank() :: distributed.world_size()]
    rows = [row for batch in batches for row in batch]
    encoded: list[Tensor] = []
    done = 0
    with _evaluating(encoder), torch.inference_mode(), computing:
        for batch in batches:
            features = encoder.tokenizer.pad([list(distinct_ids[row]) for row in batch])
            encoded.append(encoder({name: value.to(device) for name, value in features.items()}).float().cpu())
            done += len(batch)
            if progress is not None:
                progress(done, len(rows))

    vectors = torch.empty(len(distinct_ids), encoder.embedding_dim)
    for rank_rows, rank_vectors in _gather(rows, torch.cat(encoded) if encoded else vectors[:0]):
        vectors[rank_rows] = rank_vectors
    return vectors[row_of_text]


def length_sorted_batches(lengths: Sequence[int], token_budget: int, *, padded: bool) -> list[list[int]]:
    """Positions of `lengths` in batches, longest first: what does not fit in memory fails at once.

    Each batch has at most token_budget tokens, unless it is a single text. padded: every text of a batch counts as long
    as its longest.
    """
    batches: list[list[int]] = []
    room = 0  # tokens that the latest batch can still take
    for position in sorted(range(len(lengths)), key=lambda position: -lengths[position]):
        tokens = lengths[batches[-1][0]] if padded and batches else lengths[position]
        if batches and tokens <= room:
            batches[-1].append(position)
        else:
            batches.append([position])
            room, tokens = token_budget, lengths[position]
        room -= tokens
    return batches


def _gather(rows: list[int], vectors: Tensor) -> list[tuple[list[int], Tensor]]:
    if distributed.world_size() == 1:
        return [(rows, vectors)]
    gathered = distributed.all_gather_objects((rows, vectors.numpy()))
    return [(rank_rows, torch.from_numpy(rank_vectors)) for rank_rows, rank_vectors in gathered]


AUTOCAST = {"bf16-mixed": torch.bfloat16, "16-mixed": torch.float16}
PLAIN = {"32-true": torch.float32, "bf16-true": torch.bfloat16, "16-true": torch.float16, "64-true": torch.float64}


def _computing(encoder: BiEncoder, precision: str, device: torch.device) -> AbstractContextManager[object]:
    """How the encoder computes meanwhile."""
    check_choice("precision", precision, (*AUTOCAST, *PLAIN, "int8"))
    if precision == "int8":
        return quantised(encoder)
    if precision in AUTOCAST:
        return torch.autocast(device.type, dtype=AUTOCAST[precision])
    weights = next(encoder.parameters()).dtype
    if precision != "32-true" and weights != PLAIN[precision]:
        raise ConfigError(
            f"precision: '{precision}' is for weights that training holds in it; these are {weights}, and are not "
            f"converted. Use 32-true, {', '.join(AUTOCAST)} or int8."
        )
    return nullcontext()


@contextmanager
def _evaluating(encoder: BiEncoder) -> Iterator[None]:
    """Evaluation mode for a while; each submodule gets its own mode back (frozen parts may have been in another)."""
    modes = [(module, module.training) for module in encoder.modules()]
    encoder.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training
