"""Batches are those of the plan; resuming continues with the very next one, wherever the checkpoint was written."""

from dataclasses import replace
from itertools import count

import pytest
import torch
from pytorch_lightning import Callback, LightningModule, Trainer

from mixlingua.data.build import write_store
from mixlingua.errors import CheckpointError, ConfigError
from mixlingua.sampling.plan import BatchPlan
from mixlingua.sampling.strategies import Crosslingual, Hybrid
from mixlingua.training.datamodule import PairDataModule

pytestmark = pytest.mark.filterwarnings("ignore:.*num_workers.*", "ignore:.*tensorboard.*", "ignore:.*litlogger.*")


class Recorder(LightningModule):
    """Writes down the batches it is given."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))
        self.batches, self.trained, self.validated = [], [], []

    def training_step(self, batch):
        self.trained.append(batch.index)
        self.batches.append(batch)
        return (self.weight - batch.index).square().sum()

    def validation_step(self, batch):
        self.validated.append(batch.index)

    def configure_optimizers(self):
        _ = self.trainer.estimated_stepping_batches  # makes Lightning set up the loader early
        return torch.optim.SGD(self.parameters(), lr=0.01)


class Suffix:
    """An augmentation that adds to every text."""

    def __init__(self, added):
        self.added = added

    def __call__(self, text, language, side, place):
        return text + self.added

    def describe(self):
        return {"name": "suffix", "added": self.added}


class SaveAt(Callback):
    """Writes a checkpoint at a step, after its batch or after the validation that follows, and may stop there."""

    def __init__(self, path, step, after_validation=False, stop=True):
        self.path, self.step, self.after_validation, self.stop = path, step, after_validation, stop

    def save(self, trainer):
        if trainer.global_step == self.step and not trainer.sanity_checking and not self.path.exists():
            trainer.save_checkpoint(self.path)
            trainer.should_stop = self.stop

    def on_train_batch_end(self, trainer, *args):
        if not self.after_validation:
            self.save(trainer)

    def on_validation_end(self, trainer, *args):
        if self.after_validation:
            self.save(trainer)


@pytest.fixture
def make_data(tmp_path, rows, tokenizer, plan):
    numbers = count()

    def make(*, num_batches, num_rows=30, batch_size=2, seed=0, flavour="plain", **options):
        path = tmp_path / f"store {next(numbers)}"
        store = write_store(path, rows(num_rows), name="test", fingerprint=f"{num_rows} rows")
        chosen = plan([store], batch_size, seed, flavour=flavour)
        options = {"validation_plan": chosen, "num_validation_batches": 2, "num_workers": 0, **options}
        return PairDataModule(chosen, tokenizer, num_batches=num_batches, **options)

    return make


def fit(data, *, callbacks=(), checkpoint=None, max_steps=10, **options):
    module = Recorder()
    trainer = Trainer(
        accelerator="cpu",
        devices=1,
        max_steps=max_steps,
        use_distributed_sampler=False,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        callbacks=list(callbacks),
        **options,
    )
    trainer.fit(module, datamodule=data, ckpt_path=checkpoint, weights_only=True)
    return module


@pytest.mark.parametrize("after_validation", [False, True])
@pytest.mark.parametrize(("num_workers", "accumulate"), [(0, 1), (0, 2), (2, 1), (2, 2)])
def test_resumed_batches_are_those_of_an_uninterrupted_run(
    tmp_path, make_data, num_workers, accumulate, after_validation
):
    options = {
        "accumulate_grad_batches": accumulate,
        "val_check_interval": 2 * accumulate,
        "check_val_every_n_epoch": None,
    }

    def data():
        return make_data(num_batches=10 * accumulate, num_workers=num_workers)

    whole = fit(data(), **options)
    assert whole.trained == list(range(10 * accumulate))
    assert whole.validated == [0, 1] * 5

    saved = tmp_path / "last.ckpt"
    stopped = fit(data(), callbacks=[SaveAt(saved, 4, after_validation)], **options)
    resumed = fit(data(), checkpoint=saved, **options)
    assert stopped.trained + resumed.trained == whole.trained
    assert torch.equal(resumed.weight, whole.weight)


@pytest.mark.parametrize(("step", "num_workers"), [(2, 0), (3, 0), (5, 0), (5, 2)])
def test_a_checkpoint_at_any_step_of_several_passes_resumes(tmp_path, make_data, step, num_workers):
    """Two passes of 3 batches, to a maximum of 6 steps; step 3 ends the first pass."""

    def data():
        return make_data(num_batches=3, num_workers=num_workers)

    saved = tmp_path / "last.ckpt"
    whole = fit(data(), callbacks=[SaveAt(saved, step, stop=False)], max_steps=6)
    assert whole.trained == [0, 1, 2, 3, 4, 5]
    resumed = fit(data(), checkpoint=saved, max_steps=6)
    assert whole.trained[:step] + resumed.trained == whole.trained
    assert torch.equal(resumed.weight, whole.weight)


def test_a_finished_run_can_be_extended(tmp_path, make_data):
    saved = tmp_path / "last.ckpt"
    fit(make_data(num_batches=4), callbacks=[SaveAt(saved, 4)], max_steps=4)
    assert fit(make_data(num_batches=8), checkpoint=saved, max_steps=8).trained == [4, 5, 6, 7]


def test_validation_begins_at_its_first_batch_every_time(make_data):
    assert fit(make_data(num_batches=4), max_steps=4, val_check_interval=1).validated == [0, 1] * 4


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ({}, {"seed": 1}, "seed was 0, is 1"),
        ({}, {"batch_size": 3}, "batch_size was 2, is 3"),
        ({}, {"num_rows": 31}, r"fingerprint\.test was '.*', is '.*'"),
        ({}, {"flavour": "other"}, r"strategy\.flavour was 'plain', is 'other'"),
        ({}, {"seed": 1, "flavour": "other"}, r"seed was 0, is 1; strategy\.flavour was"),
        ({}, {"augmentation": Suffix("!")}, r"augmentation\.name was None, is 'suffix'; augmentation\.added was None"),
        ({"augmentation": Suffix("!")}, {"augmentation": Suffix("?")}, r"augmentation\.added was '!', is '\?'\."),
        ({"augmentation": Suffix("!")}, {}, r"augmentation\.name was 'suffix', is None"),
    ],
)
def test_what_changed_is_named(tmp_path, make_data, before, after, message):
    saved = tmp_path / "last.ckpt"
    fit(make_data(num_batches=4, **before), callbacks=[SaveAt(saved, 2)], max_steps=4)
    fit(make_data(num_batches=4, **before), checkpoint=saved, max_steps=4)
    with pytest.raises(CheckpointError, match=message):
        fit(make_data(num_batches=4, **after), checkpoint=saved, max_steps=4)


def test_another_number_of_devices_is_named(tmp_path, make_data):
    saved = tmp_path / "last.ckpt"
    fit(make_data(num_batches=4), callbacks=[SaveAt(saved, 2)], max_steps=4)
    checkpoint = torch.load(saved, weights_only=True)
    checkpoint["PairDataModule"]["number of devices"] = 4
    torch.save(checkpoint, saved)
    with pytest.raises(CheckpointError, match="number of devices was 4, is 1"):
        fit(make_data(num_batches=4), checkpoint=saved, max_steps=4)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_negatives": 1}, r"data\.num_negatives=1, but source 'test' has rows with 0 negatives"),
        ({"num_negatives": -1}, r"data\.num_negatives=-1"),
        ({"num_workers": -1}, r"data\.num_workers=-1"),
    ],
)
def test_numbers_that_cannot_work_are_refused(make_data, options, message):
    with pytest.raises(ConfigError, match=message):
        make_data(num_batches=1, **options)


def test_translations_beside_questions_need_no_negatives(tmp_path, rows, tokenizer):
    def data(*listed):
        stores = [write_store(tmp_path / str(n), r, name=str(n), fingerprint=str(n)) for n, r in enumerate(listed)]
        plan = BatchPlan(stores, strategy=Crosslingual(), languages=["de", "en"], batch_size=4, seed=0)
        return PairDataModule(plan, tokenizer, num_batches=8, num_negatives=1, num_workers=0)

    sentences = [replace(row, passages=dict(row.queries)) for row in rows(20)]
    batches = fit(data(rows(20, num_negatives=1), sentences), max_steps=8).batches
    assert {(batch.source, len(batch.passages["input_ids"])) for batch in batches} == {("0", 8), ("1", 4)}
    with pytest.raises(ConfigError, match=r"data\.num_negatives=1, but source '0'"):
        data(sentences)


def test_hard_negatives_that_are_not_asked_for_are_noted(tmp_path, rows, tokenizer, plan):
    """As in FlagOpen/FlagEmbedding #958, where more of them in the data changed nothing."""
    store = write_store(tmp_path / "store", rows(4, num_negatives=2), name="test", fingerprint="f")
    found = [PairDataModule(plan([store], 2, 0), tokenizer, num_batches=1, num_negatives=n).notes for n in (0, 1)]
    assert found == [["test: each row has 2 hard negatives or more; data.num_negatives=0 uses none"], []]


def test_batches_of_a_plan_of_its_own_have_its_languages_and_no_shared_keys(tmp_path, rows, tokenizer):
    """With workers, over sources of uneven languages whose rows share texts."""
    uneven = [
        replace(row, passage_id=f"passage {number // 2}", touches=(f"document {number // 5}",))
        for number, row in enumerate([*rows(150, ("de", "en", "th", "tr")), *rows(150, ("de", "ru"))])
    ]
    stores = [
        write_store(tmp_path / name, listed, name=name, fingerprint=name)
        for name, listed in (("uneven", uneven), ("even", rows(90, ("de", "en", "tr"))))
    ]
    languages = ["de", "en", "ru", "tr"]
    plan = BatchPlan(stores, strategy=Hybrid(), languages=languages, batch_size=12, seed=0)
    batches = fit(PairDataModule(plan, tokenizer, num_batches=24), max_steps=24).batches
    assert [batch.index for batch in batches] == list(range(24))
    assert {batch.kind for batch in batches} == {"monolingual", "crosslingual"}
    assert {batch.source for batch in batches} == {"uneven", "even"}
    for batch in batches:
        pairs = list(zip(batch.query_languages, batch.passage_languages, strict=True))
        assert set().union(*pairs) <= set(languages)
        assert all((query == passage) == (batch.kind == "monolingual") for query, passage in pairs)
        store_keys = [set(row) for row in batch.query_keys[:, :-2].tolist()]
        assert all(not a & b for n, a in enumerate(store_keys) for b in store_keys[:n])


def test_sources_of_one_name_are_refused(tmp_path, rows, tokenizer, plan):
    """Or a resumed run would not see that one of them has changed."""
    store = write_store(tmp_path / "store", rows(4), name="test", fingerprint="f")
    with pytest.raises(ConfigError, match=r"2 sources are named 'test'.*\(data\.sources\.KEY\.name"):
        PairDataModule(plan([store, store], 2, 0), tokenizer, num_batches=1)
