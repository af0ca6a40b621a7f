"""What a loss sees of one training step: vectors and keys, of this process and of all. Losses know no rank."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor


@dataclass(frozen=True)
class Targets:
    """Vectors of further texts of a step's rows, such as a teacher's of their English side.

    vectors: (N, T). present: (N,) bool, the rows that have such a text; others hold something that must not count.
    """

    vectors: Tensor
    present: Tensor


@dataclass(frozen=True)
class Tokens:
    """The tokens of N texts.

    vectors: (N, L, H) unit rows, the states that are pooled. content: (N, L) bool, the tokens of the texts
    themselves; the others are padding, special tokens and prefixes.
    """

    vectors: Tensor
    content: Tensor


@dataclass(frozen=True)
class StepVectors:
    """The vectors of Q queries and P passages of this process, and of all W processes, as unit rows of D components.

    queries: (Q, D), passages: (P, D); all_queries: (W Q, D), all_passages: (W P, D), with gradient; query_rows: (Q,)
    int64, where this process's queries stand in all_queries; positives: (Q,) int64, where their passages stand in
    all_passages, so that passages[:Q] are the positives. Keys: (., K) int64; two rows that share one are the same text
    or belong together, and are no negatives of each other. targets, all_targets: further vectors by view
    (data/views.py) of this process and of all, in the order of queries; what a teacher gave has no gradient. tokens:
    of this process, of the texts that a loss asked for by name, which may be queries, passages or a view.
    """

    queries: Tensor
    passages: Tensor
    all_queries: Tensor
    all_passages: Tensor
    query_rows: Tensor
    positives: Tensor
    query_keys: Tensor
    all_query_keys: Tensor
    all_passage_keys: Tensor
    targets: Mapping[str, Targets] = field(default_factory=dict)
    all_targets: Mapping[str, Targets] = field(default_factory=dict)
    tokens: Mapping[str, Tokens] = field(default_factory=dict)

    def mean_over(self, view: str, values: Tensor) -> Tensor:
        """The mean of (Q,) values over the rows that have the view; zero where no row has.

        Over all processes: averaged over them it is the mean over all rows, however they are spread.
        """
        present, everywhere = self.targets[view].present, self.all_targets[view].present
        processes = len(self.all_queries) / len(self.queries)
        return torch.where(present, values, 0.0).sum() * processes / everywhere.sum().clamp(min=1)
