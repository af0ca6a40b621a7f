"""Dropout that is the same in a run that was resumed as in one that was not."""

import torch
from pytorch_lightning import Callback, LightningModule, Trainer

from mixlingua.data.batch import TrainBatch
from mixlingua.files import content_hash


class SeedEachBatch(Callback):
    """Makes what is random in a training step a pure function of the seed, the number of the batch and the rank.

    Nothing about random states needs to be in a checkpoint, which only rank zero could write. Holds for CPU and CUDA.
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: TrainBatch, batch_idx: int
    ) -> None:
        """Seed torch's generators; ranks draw different numbers, as their rows are different."""
        torch.manual_seed(batch_seed(self.seed, batch.index, trainer.global_rank))


def batch_seed(seed: int, index: int, rank: int) -> int:
    """A number in [0, 2^64), as good as independent for different arguments."""
    return int(content_hash(str(seed), str(index), str(rank))[:16], 16)
