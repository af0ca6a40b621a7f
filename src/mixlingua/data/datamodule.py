"""Stores and plans as a LightningDataModule that resumes at any batch."""

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pytorch_lightning import LightningDataModule
from pytorch_lightning.trainer.states import TrainerFn

from mixlingua.data.batches import StepDataset, StepLoader, StepSampler, View, ViewMaker
from mixlingua.data.rows import Augmentation
from mixlingua.data.store import ParallelStore
from mixlingua.data.tokenizer import PairTokenizer
from mixlingua.errors import CheckpointError, ConfigError
from mixlingua.files import content_hash
from mixlingua.sampling.plan import BatchPlan

MakePlan = Callable[[Sequence[ParallelStore], int, int], BatchPlan]


class PairDataModule(LightningDataModule):
    """Training batches 0, 1, 2, ... of a plan, and a fixed set of validation batches.

    make_plan(stores, batch_size, seed) gives the plan. batch_size is the number of pairs in a step's batch over all
    devices; num_batches is the length of a pass, and should be that of the whole training. The validation batches are
    0 to num_validation_batches - 1 of make_validation_plan's plan, without hard negatives. views: makers of the
    further texts that the losses ask for. The augmentation changes training texts, never those of validation or of
    views. Loaders tokenise in num_workers processes.

    The state in a checkpoint is the number of the next batch and what decides the batches. Resuming from it continues
    with that batch; where something that decides the batches has changed it raises CheckpointError naming it.
    """

    def __init__(
        self,
        train_stores: Sequence[ParallelStore],
        validation_stores: Sequence[ParallelStore],
        tokenizer: PairTokenizer,
        make_plan: MakePlan,
        make_validation_plan: MakePlan,
        *,
        batch_size: int,
        num_batches: int,
        num_validation_batches: int,
        num_negatives: int,
        num_workers: int,
        seed: int,
        views: Mapping[View, ViewMaker] | None = None,
        augmentation: Augmentation | None = None,
    ) -> None:
        """Raises ConfigError where a store has rows with fewer negatives than asked for."""
        super().__init__()
        self._train_stores = list(train_stores)
        self._validation_stores = list(validation_stores)
        self._tokenizer = tokenizer
        self._make_plan = make_plan
        self._make_validation_plan = make_validation_plan
        self._views = dict(views or {})
        self._augmentation = augmentation
        self._batch_size = batch_size
        self._num_batches = num_batches
        self._num_validation_batches = num_validation_batches
        self._num_negatives = num_negatives
        self._num_workers = num_workers
        self._seed = seed
        self._resume_index = 0
        for store in self._train_stores:
            if store.min_negatives < num_negatives:
                raise ConfigError(
                    f"data.num_negatives={num_negatives}, but source '{store.name}' has rows with "
                    f"{store.min_negatives} negatives. Lower data.num_negatives or leave the source out."
                )

    def setup(self, stage: str) -> None:
        """Make the plans. Raises ConfigError where the batch cannot be shared evenly between the devices."""
        world_size = self._trainer().world_size
        if self._batch_size % world_size:
            raise ConfigError(
                f"data.batch_size={self._batch_size} cannot be shared by {world_size} devices; "
                f"it is the number of pairs over all devices: choose a multiple of {world_size}."
            )
        self._resume_index = 0
        self._plan = self._make_plan(self._train_stores, self._batch_size, self._seed)
        if self._validation_stores and self._num_validation_batches:
            self._validation_plan = self._make_validation_plan(self._validation_stores, self._batch_size, self._seed)

    def train_dataloader(self) -> StepLoader:
        dataset = self._dataset(self._train_stores, self._plan, self._augmentation, self._num_negatives)
        return self._loader(dataset, StepSampler(self._num_batches, self._resume_index))

    def val_dataloader(self) -> StepLoader | list[StepLoader]:
        if not (self._validation_stores and self._num_validation_batches):
            return []
        return self._loader(
            self._dataset(self._validation_stores, self._validation_plan, None, 0), range(self._num_validation_batches)
        )

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
        current = _flat(self._identity())
        changed = [name for name in sorted(saved.keys() | current.keys()) if saved.get(name) != current.get(name)]
        if changed:
            differences = "; ".join(f"{name} was {saved.get(name)!r}, is {current.get(name)!r}" for name in changed)
            raise CheckpointError(
                f"the checkpoint cannot be resumed: its batches were drawn otherwise. {differences}. "
                "Restore these settings, or start a new run."
            )
        self._resume_index = state_dict["batch_index"]

    def _identity(self) -> dict[str, Any]:
        return {
            "seed": self._seed,
            "batch_size": self._batch_size,
            "num_negatives": self._num_negatives,
            "world_size": self._trainer().world_size,
            "fingerprint": {store.name: content_hash(store.fingerprint)[:16] for store in self._train_stores},
            "plan": self._plan.describe(),
            # Nothing for none, so that checkpoints of versions that knew no augmentation are resumed.
            "augmentation": self._augmentation.describe() if self._augmentation else {},
        }

    def _dataset(
        self, stores: Sequence[ParallelStore], plan: BatchPlan, augmentation: Augmentation | None, num_negatives: int
    ) -> StepDataset:
        trainer = self._trainer()
        return StepDataset(
            stores,
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
        return StepLoader(
            dataset,
            batch_size=None,
            sampler=sampler,
            num_workers=self._num_workers,
            persistent_workers=self._num_workers > 0,
            pin_memory=self._trainer().strategy.root_device.type == "cuda",
            worker_init_fn=_one_thread,
        )

    def _trainer(self) -> Any:
        assert self.trainer is not None, "PairDataModule works under a Trainer"
        return self.trainer


def _one_thread(worker: int) -> None:
    """Workers are the parallelism; threads started before a fork do not survive it."""
    os.environ["TOKENIZERS_PARALLELISM"] = "false"


def _flat(value: Any, name: str = "") -> dict[str, Any]:
    """Nested dicts as one, with dotted names; tuples as lists, as a checkpoint may return them."""
    if isinstance(value, dict):
        return {
            key: leaf
            for part, inner in value.items()
            for key, leaf in _flat(inner, f"{name}.{part}".strip(".")).items()
        }
    return {name: list(value) if isinstance(value, tuple) else value}
