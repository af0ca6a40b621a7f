"""The end of training: which weights a run ends with, what it saves, and that they are measured."""

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from pytorch_lightning import Callback, LightningModule, Trainer

from mixlingua.data.store import ParallelStore
from mixlingua.model.encoder import BiEncoder
from mixlingua.model.folder import save_folder
from mixlingua.model.lora import merge_adapters, save_adapters
from mixlingua.retrieval.postprocess import Postprocess
from mixlingua.retrieval.text_encoder import TextEncoder, progress_bars
from mixlingua.training.averaging import ModelAverage, MovingAverage, StartShare
from mixlingua.training.callbacks import EvaluationCallback
from mixlingua.training.checkpoints import BEST, LAST, read_checkpoint

logger = logging.getLogger(__name__)


def append_postprocess(
    encoder: BiEncoder,
    method: Postprocess,
    stores: Sequence[ParallelStore],
    *,
    seed: int = 0,
    token_budget: int = 2048,
    precision: str = "32-true",
) -> None:
    """Fit the method's layer to the encoder's vectors of the stores' texts and append it; every rank must call this.

    seed: of the rows; token_budget, precision: as `mixlingua.retrieval.encode.encode` takes them.
    """
    with progress_bars() as bars:
        layer = method.layer(TextEncoder(encoder, token_budget, precision, bars, "postprocess"), stores, seed)
    encoder.append(layer)


class EndOfTraining(Callback):
    """Ends a run, on every rank: saves the training state, settles the final weights, saves and measures the model.

    A resumed run that has no step left, as of a run that was stopped while it was measured, is ended in the same way.

    run_dir: gets checkpoints/last.ckpt, model/, and adapter/ where an adapter was trained.
    average: the moving average to end with. restore_best: whether to end with the lowest validation loss.
    start_share: mixes the weights before training into the final ones.
    models: averages what this gives with other models.
    postprocess: appends a layer to the encoder, such as a partial of `append_postprocess`.
    save_model: whether to write model/ and adapter/. evaluation: measures the final encoder.
    """

    def __init__(
        self,
        run_dir: Path,
        *,
        average: MovingAverage | None = None,
        restore_best: bool = False,
        start_share: StartShare | None = None,
        models: ModelAverage | None = None,
        postprocess: Callable[[BiEncoder], None] | None = None,
        save_model: bool = True,
        evaluation: EvaluationCallback | None = None,
    ) -> None:
        self.run_dir = run_dir
        self.average = average
        self.restore_best = restore_best
        self.start_share = start_share
        self.models = models
        self.postprocess = postprocess
        self.save_model = save_model
        self.evaluation = evaluation
        self._ended = False

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """The last step is done."""
        self._end(trainer, pl_module)

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """No step was left: Lightning trains nothing then, and calls no `on_train_end`."""
        if not self._ended:
            logger.info("no step left of %d: the resumed run is finished and measured", trainer.global_step)
            pl_module.to(trainer.strategy.root_device)  # Lightning has put it back on the CPU
            self._end(trainer, pl_module)

    def _end(self, trainer: Trainer, module: Any) -> None:
        self._ended = True
        # The training state comes first: a resumed run goes on from the last weights, with adapters and without layers.
        trainer.save_checkpoint(self.run_dir / LAST)
        module.end_sharding()
        encoder = module.encoder
        weights = "the last weights"
        if self.average is not None:
            self.average.use(trainer, module)
            weights = "the moving average"
        if self.restore_best and (best := self.run_dir / BEST).exists():  # not where no validation was reached
            checkpoint = read_checkpoint(best)
            module.load_state_dict(checkpoint["state_dict"])
            weights = f"the lowest validation loss, at step {checkpoint['global_step']}"
        # Weights of other runs cannot be told as an adapter's.
        if self.save_model and self.models is None and trainer.is_global_zero:
            kept = 1 - self.start_share.share if self.start_share else 1.0
            save_adapters(encoder, self.run_dir / "adapter", share=kept)
        merge_adapters(encoder)
        if self.start_share is not None:
            self.start_share.mix_into(encoder)
            weights += f", with a share of {self.start_share.share:g} of those before training"
        if self.models is not None:
            self.models.mix_into(encoder)
            weights += f", averaged with {', '.join(map(str, self.models.folders))}"
        if self.postprocess is not None:
            self.postprocess(encoder)
            weights += ", with a postprocess layer"
        if self.save_model and trainer.is_global_zero:
            save_folder(encoder, self.run_dir / "model")
        if self.evaluation is not None:
            self.evaluation.measure_end(trainer, module, weights)
