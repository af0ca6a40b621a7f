"""A batch plan as a LightningDataModule, which resumes at any batch."""

import multiprocessing
import os
import shutil
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pytorch_lightning import LightningDataModule
from pytorch_lightning.trainer.states import TrainerFn

from mixlingua.data.batches import StepDataset, StepLoader, StepSampler, View, ViewMaker
from mixlingua.data.rows import Augmentation
from mixlingua.data.store import ParallelStore
from mixlingua.data.tokenizer import PairTokenizer
from mixlingua.errors import CheckpointError, ConfigError, differences
from mixlingua.files import content_hash
from mixlingua.reading import dotted
from mixlingua.sampling.plan import BatchPlan

_SHARED_MEMORY = Path("/dev/shm")  # where workers hand their batches over


class PairDataModule(LightningDataModule):
    """Training batches 0, 1, 2, ... of a plan, and the first batches of a validation plan, tokenised.

    num_batches: the length of a pass, which should be that of the whole training. num_validation_batches: of each
    validation; they have no hard negatives, unless a teacher scored these. num_negatives: hard negatives of each query.
    views: makers of the further texts that the losses ask for. augmentation: changes training texts, never those of
    validation or of views.
    num_workers: processes that tokenise ahead, 0 for none.

    The state in a checkpoint is the number of the next batch and what decides the batches. Resuming from it continues
    with that batch; where something that decides the batches has changed it raises CheckpointError naming it.
    """

    def __init__(
        self,
        plan: BatchPlan[ParallelStore],
        tokenizer: PairTokenizer,
        *,
        num_batches: int,
        validation_plan: BatchPlan[ParallelStore] | None = None,
        num_validation_batches: int = 8,
        num_negatives: int = 0,
        num_workers: int = 1,
        views: Mapping[View, ViewMaker] | None = None,
        augmentation: Augmentation | None = None,
    ) -> None:
        """Raises ConfigError where a number is too small, or a store has rows with fewer negatives than asked for."""
        super().__init__()
        numbers = {"validation_batches": num_validation_batches, "num_negatives": num_negatives}
        for key, value in {**numbers, "num_workers": num_workers}.items():
            if value < 0:
                raise ConfigError(f"data.{key}={value}: a number of 0 or more is needed.")
        names = [store.name for store in plan.sources]
        if repeated := [name for name in names if names.count(name) > 1]:
            raise ConfigError(
                f"data.sources: {len(repeated)} sources are named '{repeated[0]}', by which batches are counted and a "
                "resumed run knows its sources. Give each a name of its own (data.sources.KEY.name)."
            )
        translations_alone = all(store.is_translations for store in plan.sources)
        for store in plan.sources:
            if store.min_negatives < num_negatives and (translations_alone or not store.is_translations):
                raise ConfigError(
                    f"data.num_negatives={num_negatives}, but source '{store.name}' has rows with "
                    f"{store.min_negatives} negatives. Lower data.num_negatives or leave the source out."
                )
        self._plan, self._validation_plan, self._tokenizer = plan, validation_plan, tokenizer
        self._views, self._augmentation = dict(views or {}), augmentation
        self._num_batches, self._num_validation_batches = num_batches, num_validation_batches
        self._num_negatives, self._num_workers = num_negatives, num_workers
        self._resume_index = 0

    @property
    def notes(self) -> list[str]:
        """What a user should know of: hard negatives that are there, and not asked for."""
        return [
            f"{store.name}: each row has {store.min_negatives} hard negatives or more; data.num_negatives=0 uses none"
            for store in self._plan.sources
            if store.min_negatives and not self._num_negatives
        ]

    def setup(self, stage: str) -> None:
        """Raises ConfigError where the batch cannot be shared evenly between the devices."""
        self._plan.batch(0).slice(0, self._trainer().world_size)
        self._resume_index = 0

    def train_dataloader(self) -> StepLoader:
        dataset = self._dataset(self._plan, self._augmentation, self._num_negatives)
        return self._loader(dataset, StepSampler(self._num_batches, self._resume_index))

    def val_dataloader(self) -> StepLoader | list[StepLoader]:
        if self._validation_plan is None or not self._num_validation_batches:
            return []
        scored = all(store.has_scores for store in self._validation_plan.sources)
        dataset = self._dataset(self._validation_plan, None, self._num_negatives if scored else 0)
        return self._loader(dataset, range(self._num_validation_batches))

    def state_dict(self) -> dict[str, Any]:
        """batch_index, the number of the next batch, and what decides the batches; plain containers only."""
        # `processed` counts the batches whose step is done, in on_train_batch_end as in validation after it;
        # `completed` lags by one in the former, and `ready` leads by one where a step was interrupted.
        done = self._trainer().fit_loop.epoch_loop.batch_progress.total.processed
        return {"batch_index": done, **self._identity()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue with the checkpoint's next batch. Raises CheckpointError naming each thing that has changed."""
        if self._trainer().state.fn != TrainerFn.FITTING:
            return
        saved = _flat({name: value for name, value in state_dict.items() if name != "batch_index"})
        if changed := differences(saved, _flat(self._identity())):
            raise CheckpointError(
                f"the checkpoint cannot be resumed: its batches were drawn otherwise. {'; '.join(changed)}. "
                "Restore these settings, or start a new run."
            )
        self._resume_index = state_dict["batch_index"]

    def _identity(self) -> dict[str, Any]:
        description = self._plan.describe()
        del description["fingerprints of the sources"]  # said by name below, and short
        return {
            **description,
            "fingerprint": {store.name: content_hash(store.fingerprint)[:16] for store in self._plan.sources},
            "data.num_negatives": self._num_negatives,
            "number of devices": self._trainer().world_size,
            "augmentation": self._augmentation.describe() if self._augmentation else {},
        }

    def _dataset(
        self, plan: BatchPlan[ParallelStore], augmentation: Augmentation | None, num_negatives: int
    ) -> StepDataset:
        trainer = self._trainer()
        return StepDataset(
            plan.sources,
            plan,
            self._tokenizer,
            num_negatives=num_negatives,
            rank=trainer.global_rank,
            world_size=trainer.world_size,
            views=self._views,
            augmentation=augmentation,
        )

    def _loader(self, dataset: StepDataset, sampler: StepSampler | range) -> StepLoader:
        if self._num_workers:
            # Said before the workers start: the tokenizers library otherwise warns in each of them.
            os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
            self._check_shared_memory(dataset)
        return StepLoader(
            dataset,
            sampler=sampler,
            num_workers=self._num_workers,
            persistent_workers=self._num_workers > 0,
            pin_memory=self._trainer().strategy.root_device.type == "cuda",
            worker_init_fn=_begin_worker,
            multiprocessing_context=_start_method() if self._num_workers else None,
        )

    def _check_shared_memory(self, dataset: StepDataset) -> None:
        """Raise ConfigError where the batches that wait may not fit /dev/shm: workers would wait for ever, or die.

        Each worker of each rank on this machine holds two batches ready, of training and of validation.
        """
        if not _SHARED_MEMORY.is_dir():
            return
        loaders = 2 if self._validation_plan is not None and self._num_validation_batches else 1
        needed = 2 * self._num_workers * self._trainer().num_devices * loaders * dataset.largest_batch()
        free = shutil.disk_usage(_SHARED_MEMORY).free
        if needed > free:
            raise ConfigError(
                f"data.num_workers={self._num_workers}: batches waiting in {_SHARED_MEMORY} may take "
                f"{needed / 1e6:,.0f} MB, but {free / 1e6:,.0f} MB are free there. Use data.num_workers=0, or give the "
                "container more (docker run --shm-size=1g)."
            )

    def _trainer(self) -> Any:
        assert self.trainer is not None, "PairDataModule works under a Trainer"
        return self.trainer


def _start_method() -> str:
    """How workers start: as their process does it, but for joblib's own way, which serves joblib's workers alone."""
    method = multiprocessing.get_start_method()
    if method in ("fork", "spawn", "forkserver"):
        return method
    return "fork" if sys.platform == "linux" else "spawn"


def _begin_worker(worker: int) -> None:
    """One thread, since threads started before a fork do not survive it; and no handlers of signals: the training
    process ends workers itself, by SIGTERM. Ctrl-C and `timeout` signal a whole process group, so they leave that."""
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    os.setpgid(0, 0)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _flat(tree: dict[str, Any]) -> dict[str, Any]:
    """With dotted names; tuples as lists, as a checkpoint may return them."""
    return {name: list(value) if isinstance(value, tuple) else value for name, value in dotted(tree).items()}
