"""From this process's vectors to what losses see: the same with those of all processes."""

from collections.abc import Mapping

import torch
from torch import Tensor

from mixlingua.model import distributed
from mixlingua.model.losses.step import StepVectors, Targets, Tokens


def gathered_step(
    queries: Tensor,
    passages: Tensor,
    query_keys: Tensor,
    passage_keys: Tensor,
    targets: Mapping[str, Targets],
    tokens: Mapping[str, Tokens],
) -> StepVectors:
    """Gather vectors with gradient, keys without; every rank must call this, with equal numbers of rows.

    queries: (Q, D), passages: (P, D), the first Q of them the queries' own, unit rows; keys: (., K) int64; targets:
    further vectors of the Q rows by view; tokens: what losses compare row by row, so that it stays where it is.
    """
    rows = torch.arange(len(queries), device=queries.device)
    return StepVectors(
        queries,
        passages,
        all_queries=distributed.all_gather_with_grad(queries),
        all_passages=distributed.all_gather_with_grad(passages),
        query_rows=rows + distributed.rank() * len(queries),
        positives=rows + distributed.rank() * len(passages),
        query_keys=query_keys,
        all_query_keys=distributed.all_gather(query_keys),
        all_passage_keys=distributed.all_gather(passage_keys),
        targets=targets,
        all_targets={
            name: Targets(
                distributed.all_gather_with_grad(own.vectors), distributed.all_gather(own.present.long()).bool()
            )
            for name, own in targets.items()
        },
        tokens=tokens,
    )
