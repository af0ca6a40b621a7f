"""Fitting the last layer of an encoder: after training, or before an evaluation."""

from collections.abc import Sequence
from typing import Any

from pytorch_lightning import Callback, LightningModule, Trainer

from mixlingua.data.store import ParallelStore
from mixlingua.evaluation.suite import TextEncoder, progress_bars
from mixlingua.model.encoder import BiEncoder
from mixlingua.retrieval.postprocess import Postprocess


def append_postprocess(
    encoder: BiEncoder,
    method: Postprocess,
    stores: Sequence[ParallelStore],
    *,
    seed: int,
    token_budget: int,
    precision: str,
) -> None:
    """Fit the method's layer to the encoder's vectors of the stores' texts and append it; every rank must call this.

    seed: of the rows; token_budget, precision: as `mixlingua.retrieval.encode.encode` takes them.
    """
    with progress_bars() as bars:
        layer = method.layer(TextEncoder(encoder, token_budget, precision, bars, "postprocess"), stores, seed)
    encoder.append(layer)


class Postprocessing(Callback):
    """Appends the layer to the module's `encoder` when training has ended: after the training state was saved, which a
    resumed run goes on from and which has no such layer, and before the encoder is measured and saved."""

    def __init__(
        self, method: Postprocess, stores: Sequence[ParallelStore], *, seed: int, token_budget: int, precision: str
    ) -> None:
        """As `append_postprocess`."""
        self.method, self.stores = method, stores
        self.seed, self.token_budget, self.precision = seed, token_budget, precision

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Fit and append, on every rank."""
        encoder: Any = pl_module.encoder
        append_postprocess(
            encoder,
            self.method,
            self.stores,
            seed=self.seed,
            token_budget=self.token_budget,
            precision=self.precision,
        )
