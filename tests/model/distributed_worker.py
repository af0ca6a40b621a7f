"""One gloo process of the gather tests: trains a small tower on its share of a batch, saves its weights and loss.

Run by test_distributed.py as: python distributed_worker.py RANK WORLD_SIZE RENDEZVOUS_FILE OUT_FILE SYMMETRIC
"""

import sys

import torch
import torch.distributed as dist
from torch import nn
from torch.nn import functional
from torch.nn.parallel import DistributedDataParallel

from mixlingua.model import distributed
from mixlingua.model.losses.infonce import InfoNCE
from mixlingua.model.losses.step import StepVectors

BATCH, FEATURES, DIM, NEGATIVES = 8, 12, 6, 1


class Towers(nn.Module):
    """A linear encoder and the loss with a learned temperature, over gathered embeddings as in RetrieverModule."""

    def __init__(self, symmetric: bool) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.encoder = nn.Linear(FEATURES, DIM)
        self.loss = InfoNCE(
            weight=1.0, temperature=0.1, learn_temperature=True, symmetric=symmetric, hardness=0.0, own_margin=None,
            teacher_margin=None, dims=None,
        )  # fmt: skip

    def forward(self, queries, passages, query_keys, passage_keys):
        queries = functional.normalize(self.encoder(queries), dim=-1)
        passages = functional.normalize(self.encoder(passages), dim=-1)
        rows = torch.arange(len(queries))
        step = StepVectors(
            queries,
            passages,
            all_queries=distributed.all_gather_with_grad(queries),
            all_passages=distributed.all_gather_with_grad(passages),
            query_rows=rows + distributed.rank() * len(queries),
            positives=rows + distributed.rank() * len(passages),
            query_keys=query_keys,
            all_query_keys=distributed.all_gather(query_keys),
            all_passage_keys=distributed.all_gather(passage_keys),
        )
        return self.loss(step)


def batches(steps: int):
    """The same global batches in every process: queries, positives, hard negatives; the last two rows share a key."""
    generator = torch.Generator().manual_seed(1)
    for _ in range(steps):
        queries = torch.randn(BATCH, FEATURES, generator=generator)
        positives = queries + 0.5 * torch.randn(BATCH, FEATURES, generator=generator)
        negatives = torch.randn(BATCH, FEATURES, generator=generator)
        keys = torch.arange(BATCH)[:, None].clone()
        keys[-1] = keys[0]  # the first and the last row meet across processes
        yield queries, positives, negatives, keys


def train(rank: int, world_size: int, symmetric: bool, steps: int = 5) -> tuple[dict, list[float]]:
    towers = Towers(symmetric)
    model = DistributedDataParallel(towers) if world_size > 1 else towers
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    share = slice(rank * BATCH // world_size, (rank + 1) * BATCH // world_size)
    losses = []
    for queries, positives, negatives, keys in batches(steps):
        passages = torch.cat([positives[share], negatives[share]])
        passage_keys = torch.cat([keys[share], 100 + keys[share]])
        loss = model(queries[share], passages, keys[share], passage_keys)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(distributed.all_gather(loss.detach()[None]).mean().item())
    return towers.state_dict(), losses


if __name__ == "__main__":
    rank, world_size, rendezvous, out, symmetric = sys.argv[1:]
    dist.init_process_group("gloo", init_method=f"file://{rendezvous}", rank=int(rank), world_size=int(world_size))
    torch.set_num_threads(1)
    torch.save(train(int(rank), int(world_size), symmetric == "True"), out)
    dist.barrier()  # no process may leave while another still talks to it: gloo aborts
    dist.destroy_process_group()
