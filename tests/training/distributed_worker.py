"""One gloo process of the gather tests: trains a small tower with each loss on its share of a batch, saves the weights.

Run by test_distributed.py as: python distributed_worker.py RANK WORLD_SIZE RENDEZVOUS_FILE OUT_FILE
"""

import sys
from functools import partial

import torch
import torch.distributed as dist
from torch import nn
from torch.nn import functional
from torch.nn.parallel import DistributedDataParallel

from mixlingua import distributed
from mixlingua.data.batches import View
from mixlingua.losses.base import TokenVectors, TotalLoss, ViewVectors
from mixlingua.losses.distillation import Distillation, LanguageVariants, Queue, Relational
from mixlingua.losses.infonce import InfoNCE, MultiPositive
from mixlingua.losses.transport import Transport
from mixlingua.training.module import gathered_step

BATCH, FEATURES, DIM, VARIANTS, TOKENS = 8, 12, 6, 2, 4
PRESENT = torch.tensor([True, False, False, True, True, True, True, False])  # as many on no two of four processes

infonce = partial(
    InfoNCE, weight=1.0, temperature=0.1, learn_temperature=True, symmetric=False, hardness=0.0, own_margin=None,
    teacher_margin=None, dims=None,
)  # fmt: skip
LOSSES = {
    "infonce": infonce,
    "symmetric": partial(infonce, symmetric=True),
    "hard": partial(infonce, hardness=0.5, own_margin=0.2, teacher_margin=0.0, dims=[DIM, 3]),
    "distillation": partial(Distillation, weight=1.0, sides="both"),
    "relational": partial(Relational, weight=1.0, temperature=0.1, teacher_temperature=0.2),
    "queue": partial(Queue, weight=1.0, size=20, temperature=0.1),
    "variants": partial(LanguageVariants, weight=1.0, temperature=0.2),
    "multipositive": partial(MultiPositive, weight=1.0, temperature=0.1, variants=VARIANTS),
    "transport": partial(Transport, weight=1.0, sides="both", epsilon=0.1, iterations=20),
}


class Towers(nn.Module):
    """A linear encoder and a loss over gathered vectors, as in RetrieverModule."""

    def __init__(self, name: str) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.encoder = nn.Linear(FEATURES, DIM)
        self.loss = TotalLoss({name: LOSSES[name]()})

    def encode(self, features):
        return functional.normalize(self.encoder(features), dim=-1)

    def forward(self, queries, passages, query_keys, passage_keys, teacher, variants, further, present, read):
        views = {
            View.PIVOT_QUERIES: ViewVectors(teacher[0], present),
            View.PIVOT_PASSAGES: ViewVectors(teacher[1], present),
            View.VARIANT_QUERIES: ViewVectors(self.encode(variants), present),
            View.VARIANT_PASSAGES: ViewVectors(self.encode(further), present.repeat_interleave(VARIANTS)),
        }
        views = {view: views[view] for view in self.loss.views}
        own, taught, content = read
        tokens = {
            View.QUERIES: TokenVectors(self.encode(own[0]), content[0]),
            View.PASSAGES: TokenVectors(self.encode(own[1]), content[1]),
            View.PIVOT_QUERIES: TokenVectors(taught[0], content[1]),
            View.PIVOT_PASSAGES: TokenVectors(taught[1], content[0]),
        }
        tokens = {name: tokens[name] for name in self.loss.token_views}
        step = gathered_step(self.encode(queries), self.encode(passages), query_keys, passage_keys, views, tokens)
        return self.loss(step)[0]


def batches(steps: int):
    """The same global batches in every process; the first and the last row share a key, and meet across processes."""
    generator, of_tokens = torch.Generator().manual_seed(1), torch.Generator().manual_seed(2)
    for _ in range(steps):
        queries = torch.randn(BATCH, FEATURES, generator=generator)
        positives = queries + 0.5 * torch.randn(BATCH, FEATURES, generator=generator)
        negatives = torch.randn(BATCH, FEATURES, generator=generator)
        keys = torch.arange(BATCH)[:, None].clone()
        keys[-1] = keys[0]
        teacher = functional.normalize(torch.randn(2, BATCH, DIM, generator=generator), dim=-1)
        variants = queries + torch.randn(BATCH, FEATURES, generator=generator)
        further = positives.repeat_interleave(VARIANTS, 0) + torch.randn(
            BATCH * VARIANTS, FEATURES, generator=generator
        )
        # For the losses of tokens: those of queries and of passages, the teacher's, and which of each are content.
        own = torch.randn(2, BATCH, TOKENS, FEATURES, generator=of_tokens)
        taught = functional.normalize(torch.randn(2, BATCH, TOKENS, DIM, generator=of_tokens), dim=-1)
        content = torch.rand(2, BATCH, TOKENS, generator=of_tokens) < 0.7
        yield queries, positives, negatives, keys, teacher, variants, further, (own, taught, content)


def train(name: str, rank: int, world_size: int, steps: int = 5) -> tuple[dict, list[float]]:
    towers = Towers(name)
    model = DistributedDataParallel(towers) if world_size > 1 else towers
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    start, stop = rank * BATCH // world_size, (rank + 1) * BATCH // world_size
    share, shares = slice(start, stop), slice(VARIANTS * start, VARIANTS * stop)
    losses = []
    for queries, positives, negatives, keys, teacher, variants, further, read in batches(steps):
        passages = torch.cat([positives[share], negatives[share]])
        passage_keys = torch.cat([keys[share], 100 + keys[share]])
        loss = model(
            queries[share], passages, keys[share], passage_keys, teacher[:, share], variants[share], further[shares],
            PRESENT[share], [tensor[:, share] for tensor in read],
        )  # fmt: skip
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(distributed.all_gather(loss.detach()[None]).mean().item())
    return towers.state_dict(), losses


if __name__ == "__main__":
    rank, world_size, rendezvous, out = sys.argv[1:]
    dist.init_process_group("gloo", init_method=f"file://{rendezvous}", rank=int(rank), world_size=int(world_size))
    torch.set_num_threads(1)
    torch.save({name: train(name, int(rank), int(world_size)) for name in LOSSES}, out)
    dist.barrier()  # no process may leave while another still talks to it: gloo aborts
    dist.destroy_process_group()
