"""From the configuration to what becomes of the weights when training ends, before they are measured and saved."""

import logging
from collections.abc import Sequence

from hydra.utils import instantiate
from omegaconf import DictConfig
from pytorch_lightning import Callback, LightningModule, Trainer

from mixlingua.data.store import ParallelStore
from mixlingua.evaluation.postprocessing import Postprocessing
from mixlingua.model.averaging import StartShare, moving_average
from mixlingua.model.lora import MergeAdapters
from mixlingua.model.module import RetrieverModule

logger = logging.getLogger(__name__)


def averages(cfg: DictConfig) -> list[Callback]:
    """What keeps an average of the weights while they are trained."""
    return [moving_average(cfg.averaging.ema_decay)] if cfg.averaging.ema_decay is not None else []


def finishers(cfg: DictConfig, module: RetrieverModule, stores: Sequence[ParallelStore]) -> list[Callback]:
    """What changes the encoder after the last step, in order: adapters are merged, a share of its start, a postprocess.

    module: as it starts, before it has adapters and before any checkpoint is loaded. Raises DataError where there will
    be too little text for the postprocess, ConfigError for a share that is none.
    """
    callbacks: list[Callback] = [MergeAdapters(cfg.adapter.alpha)] if cfg.adapter else []
    if cfg.averaging.start_share != 0:
        callbacks.append(StartShare(module, cfg.averaging.start_share))
    if cfg.postprocess:
        method = instantiate(cfg.postprocess)
        method.check(stores)
        budget, precision = cfg.evaluation.token_budget, cfg.evaluation.precision
        callbacks.append(Postprocessing(method, stores, seed=cfg.seed, token_budget=budget, precision=precision))
    return callbacks


class EndWithoutSteps(Callback):
    """Ends a training that is resumed and has no step left, as of a run that was stopped while it was measured.

    Lightning does nothing there. callbacks: those that end training, in their order.
    """

    def __init__(self, callbacks: Sequence[Callback]) -> None:
        self.callbacks = list(callbacks)
        self._ended = False

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Steps were left, and Lightning has told the others."""
        self._ended = True

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Tell the others where Lightning has not, on every rank; not where a training came to nothing."""
        if not self._ended and trainer.global_step >= trainer.max_steps:
            logger.info("no step left of %d: the resumed run is finished and measured", trainer.global_step)
            for callback in self.callbacks:
                callback.on_train_end(trainer, pl_module)
