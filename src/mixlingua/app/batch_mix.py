"""How the batches of a run were mixed, for the loggers."""

from collections import Counter
from typing import Any

from pytorch_lightning import Callback, LightningModule, Trainer


class BatchMix(Callback):
    """Logs the share of each kind of batch and of each source so far, as "batches/monolingual" and "sources/ntrex".

    All ranks see the same kinds and sources, so the shares hold for the global batches.
    """

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.batches = 0

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self.batches += 1
        self.counts.update([f"batches/{batch.kind}", f"sources/{batch.source}"])
        if self.batches % trainer.log_every_n_steps == 0:  # type: ignore[attr-defined]
            shares = {name: count / self.batches for name, count in sorted(self.counts.items())}
            for logger in trainer.loggers:
                logger.log_metrics(shares, step=trainer.global_step)

    def state_dict(self) -> dict[str, Any]:
        """Goes into the checkpoint, so that the shares of a resumed run are those of the whole run."""
        return {"counts": dict(self.counts), "batches": self.batches}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.counts, self.batches = Counter(state_dict["counts"]), state_dict["batches"]
