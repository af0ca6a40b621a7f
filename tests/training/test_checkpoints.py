"""What a run leaves behind, which weights it ends with, and files that cannot be resumed."""

import os
import pickle
import shutil
import signal
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import pytest
import pytorch_lightning as pl
import torch
from sentence_transformers import SentenceTransformer
from tests.runs import same
from torch.utils.data import DataLoader

from mixlingua.errors import CheckpointError, Interrupted
from mixlingua.losses.base import TotalLoss
from mixlingua.model.encoder import BiEncoder
from mixlingua.training.averaging import MovingAverage
from mixlingua.training.checkpoints import check_resumable, checkpoint_callbacks, read_checkpoint
from mixlingua.training.end_of_training import EndOfTraining
from mixlingua.training.module import RetrieverModule, Teacher
from mixlingua.training.optimizer import AdamW


class PairDataModule(pl.LightningDataModule):
    """Serves given batches, with a state under the name that the project's own data module has in a checkpoint."""

    def __init__(self, batches, validation) -> None:
        super().__init__()
        self.batches, self.validation = batches, validation
        if not validation:
            self.val_dataloader = None

    def train_dataloader(self) -> DataLoader:
        return DataLoader(self.batches, batch_size=None)

    def val_dataloader(self) -> DataLoader:
        return DataLoader(self.validation, batch_size=None)

    def state_dict(self) -> dict:
        return {"batch_index": 4}


class ScriptedModule(RetrieverModule):
    """Validation losses are given, and the weights seen at each validation are kept."""

    def script(self, losses: list[float]) -> "ScriptedModule":
        self.losses, self.seen = iter(losses), []
        return self

    def validation_step(self, batch, batch_idx) -> None:
        self.log("validation/loss", next(self.losses), batch_size=1)
        self.seen.append({name: tensor.clone() for name, tensor in self.state_dict().items()})


@pytest.fixture
def run_dir(tmp_path) -> Path:
    return tmp_path / "run"


@pytest.fixture
def fit(toy_batches, trainer, run_dir):
    """Trains for four steps, by default with a validation after each."""

    def run(
        module, *, every_n_steps=100, validates=False, patience=None, save_model=False, steps=4, average=None, **options
    ):
        callbacks = checkpoint_callbacks(
            run_dir, every_n_steps=every_n_steps, validates=validates, patience=patience, average=average
        )
        callbacks += [average] if average else []
        callbacks.append(EndOfTraining(run_dir, average=average, restore_best=validates, save_model=save_model))
        used = trainer(
            max_steps=steps, callbacks=callbacks, enable_checkpointing=True,
            val_check_interval=1 if validates else None, check_val_every_n_epoch=None if validates else 1,
        )  # fmt: skip
        used.fit(
            module, datamodule=PairDataModule(toy_batches(steps), toy_batches(1) if validates else None), **options
        )
        return used

    return run


@pytest.fixture
def scripted(module) -> ScriptedModule:
    return ScriptedModule(module.encoder, module.loss, module.optimizer)


@pytest.mark.parametrize("every_n_steps", [1, 3, 4, 100])
def test_last_holds_the_state_after_the_last_step_whatever_the_interval(module, fit, run_dir, every_n_steps):
    fit(module, every_n_steps=every_n_steps)
    checkpoint = read_checkpoint(run_dir / "checkpoints" / "last.ckpt")
    assert checkpoint["global_step"] == 4
    assert same(checkpoint["state_dict"], module.state_dict())
    assert checkpoint["optimizer_states"] and checkpoint["lr_schedulers"]
    assert [file.name for file in (run_dir / "checkpoints").iterdir()] == ["last.ckpt"]
    check_resumable(run_dir / "checkpoints" / "last.ckpt", module)


def test_fewer_steps_than_were_done_are_refused(module, fit, run_dir):
    fit(module)
    last = run_dir / "checkpoints" / "last.ckpt"
    for enough in (4, 5):
        check_resumable(last, module, max_steps=enough)
    with pytest.raises(CheckpointError, match=r"trainer\.max_steps=3: .*last\.ckpt has done 4 steps already\. Give 4"):
        check_resumable(last, module, max_steps=3)


def test_the_interval_saves_before_the_end(module, fit, run_dir):
    steps = []

    class Stop(RetrieverModule):
        def training_step(self, batch, batch_idx):
            file = run_dir / "checkpoints" / "last.ckpt"
            steps.append(read_checkpoint(file)["global_step"] if file.exists() else None)
            return super().training_step(batch, batch_idx)

    fit(Stop(module.encoder, module.loss, module.optimizer), every_n_steps=2, steps=6)
    assert steps == [None, None, 2, 2, 4, 4]


class Signalled(RetrieverModule):
    """Gets signals while its second batch is computed."""

    signals: tuple[signal.Signals, ...] = ()

    def training_step(self, batch, batch_idx):
        if batch_idx == 1:
            for number in self.signals:
                os.kill(os.getpid(), number)
        return super().training_step(batch, batch_idx)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_saves_the_step_that_runs(number, module, fit, run_dir, capsys):
    handler = signal.getsignal(number)
    training = Signalled(module.encoder, module.loss, module.optimizer)
    training.signals = (number,)
    with pytest.raises(Interrupted, match=number.name):
        fit(training)
    last = read_checkpoint(run_dir / "checkpoints" / "last.ckpt")
    assert last["global_step"] == 2 and same(last["state_dict"], training.state_dict())
    assert capsys.readouterr().err == (
        f"{number.name}: the step that runs is finished and saved. A second signal ends the run at once.\n"
    )
    assert signal.getsignal(number) is handler


def test_a_run_that_a_signal_stopped_ends_as_if_it_had_not(module, fit, run_dir, toy_batches):
    start = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    fit(module)
    whole = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    module.load_state_dict(start)
    training = Signalled(module.encoder, module.loss, module.optimizer)
    training.signals = (signal.SIGTERM,)
    with pytest.raises(Interrupted):
        fit(training)
    training.signals = ()
    fit(training, ckpt_path=run_dir / "checkpoints" / "last.ckpt", weights_only=True)
    assert same(training.state_dict(), whole)


def test_a_second_signal_ends_at_once(module, fit, run_dir):
    training = Signalled(module.encoder, module.loss, module.optimizer)
    training.signals = (signal.SIGINT, signal.SIGINT)
    with pytest.raises(Interrupted):
        fit(training)
    assert not (run_dir / "checkpoints" / "last.ckpt").exists()


def test_a_signal_amid_the_batches_of_a_step_waits_for_its_end(module, toy_batches, run_dir):
    training = Signalled(module.encoder, module.loss, module.optimizer)
    training.signals = (signal.SIGTERM,)
    trainer = pl.Trainer(
        max_steps=2, accumulate_grad_batches=3, accelerator="cpu", logger=False, enable_progress_bar=False,
        enable_model_summary=False, callbacks=checkpoint_callbacks(run_dir),
    )  # fmt: skip
    with pytest.raises(Interrupted):
        trainer.fit(training, datamodule=PairDataModule(toy_batches(6), None))
    checkpoint = read_checkpoint(run_dir / "checkpoints" / "last.ckpt")
    assert checkpoint["global_step"] == 1
    assert checkpoint["loops"]["fit_loop"]["epoch_loop.batch_progress"]["current"]["ready"] == 3


def test_a_run_killed_after_a_validation_at_its_checkpoint_has_that_validation(
    scripted, fit, run_dir, tmp_path, monkeypatch
):
    """The state of step 2 is saved with what its validation found: the lowest loss of the run."""
    start = {name: tensor.clone() for name, tensor in scripted.state_dict().items()}
    killed, step = tmp_path / "killed", scripted.training_step

    def copying(batch, batch_idx):
        if batch_idx == 2:
            shutil.copytree(run_dir, killed)
        return step(batch, batch_idx)

    monkeypatch.setattr(scripted, "training_step", copying)
    fit(scripted.script([3.0, 1.0, 2.0, 1.5]), validates=True, every_n_steps=2)
    whole = {name: tensor.clone() for name, tensor in scripted.state_dict().items()}
    monkeypatch.setattr(scripted, "training_step", step)
    scripted.load_state_dict(start)
    shutil.rmtree(run_dir)
    shutil.copytree(killed, run_dir)
    fit(scripted.script([2.0, 1.5]), validates=True, ckpt_path=run_dir / "checkpoints/last.ckpt", weights_only=True)
    assert next(scripted.losses, None) is None  # the validations of steps 3 and 4, and no other
    assert same(scripted.state_dict(), whole)


def test_a_signal_in_a_validation_saves_after_it(scripted, fit, run_dir, monkeypatch):
    validation = scripted.validation_step

    def signalled(batch, batch_idx):
        os.kill(os.getpid(), signal.SIGTERM)
        return validation(batch, batch_idx)

    monkeypatch.setattr(scripted, "validation_step", signalled)
    with pytest.raises(Interrupted):
        fit(scripted.script([3.0, 1.0]), validates=True)
    last = read_checkpoint(run_dir / "checkpoints" / "last.ckpt")
    assert last["global_step"] == 1 and (run_dir / "checkpoints" / "best.ckpt").exists()
    (best,) = [state for name, state in last["callbacks"].items() if "best_model_score" in state]
    assert float(best["best_model_score"]) == 3.0


def test_training_ends_with_the_weights_of_the_lowest_validation_loss(scripted, fit, run_dir):
    fit(scripted.script([3.0, 1.0, 2.0, 1.5]), validates=True)
    assert same(scripted.state_dict(), scripted.seen[1])
    assert not same(scripted.seen[1], scripted.seen[3])
    # The training state to resume from is still that of the last step.
    last = read_checkpoint(run_dir / "checkpoints" / "last.ckpt")
    assert last["global_step"] == 4 and same(last["state_dict"], scripted.seen[3])
    assert {file.name for file in (run_dir / "checkpoints").iterdir()} == {"last.ckpt", "best.ckpt"}


def test_the_saved_model_has_the_weights_of_the_lowest_validation_loss(scripted, fit, run_dir, folder_encoder):
    fit(scripted.script([3.0, 1.0, 2.0, 1.5]), validates=True, save_model=True)
    loaded = {f"encoder.{name}": tensor for name, tensor in folder_encoder(run_dir / "model").state_dict().items()}
    assert same(loaded, {name: t for name, t in scripted.seen[1].items() if name.startswith("encoder.")})
    SentenceTransformer(str(run_dir / "model"), device="cpu")


def test_the_best_weights_are_those_of_the_moving_average_that_was_validated(scripted, fit, run_dir):
    fit(scripted.script([3.0, 1.0, 2.0, 1.5]), validates=True, average=MovingAverage(0.5))
    best = read_checkpoint(run_dir / "checkpoints" / "best.ckpt")
    assert same(best["state_dict"], scripted.seen[1]) and same(scripted.state_dict(), scripted.seen[1])
    last = read_checkpoint(run_dir / "checkpoints" / "last.ckpt")
    assert same(last["state_dict"], scripted.seen[3]) and not same(last["current_model_state"], scripted.seen[3])


def test_without_validation_the_saved_model_is_the_last_one(module, fit, run_dir, folder_encoder):
    fit(module, save_model=True)
    assert same(folder_encoder(run_dir / "model").state_dict(), module.encoder.state_dict())
    assert not (run_dir / "checkpoints" / "best.ckpt").exists()


def test_no_model_folder_unless_asked_for(module, fit, run_dir):
    fit(module)
    assert not (run_dir / "model").exists()


def test_training_stops_after_so_many_validations_without_a_lower_loss(scripted, fit, run_dir):
    fit(scripted.script([3.0, 1.0, 2.0, 1.5, 0.5, 0.4]), validates=True, patience=2, steps=6)
    assert len(scripted.seen) == 4
    assert same(scripted.state_dict(), scripted.seen[1])
    assert read_checkpoint(run_dir / "checkpoints" / "last.ckpt")["global_step"] == 4


def test_without_patience_training_goes_on(scripted, fit):
    fit(scripted.script([1.0, 2.0, 3.0, 4.0, 5.0, 6.0]), validates=True, steps=6)
    assert len(scripted.seen) == 6


def test_a_validation_loss_that_is_no_number_is_never_the_best(scripted, fit):
    fit(scripted.script([float("nan"), 2.0, float("nan"), 3.0]), validates=True)
    assert same(scripted.state_dict(), scripted.seen[1])


def test_a_resumed_run_remembers_the_lowest_validation_loss(scripted, fit, run_dir):
    fit(scripted.script([3.0, 1.0, 2.0, 2.5]), validates=True)
    best = scripted.seen[1]
    last = run_dir / "checkpoints" / "last.ckpt"
    trainer = fit(scripted.script([1.7, 1.6]), validates=True, steps=6, ckpt_path=last)
    assert trainer.global_step == 6 and len(scripted.seen) == 2
    assert same(scripted.state_dict(), best)
    assert read_checkpoint(last)["global_step"] == 6


def test_a_missing_file(tmp_path):
    with pytest.raises(CheckpointError, match=r"nowhere\.ckpt: no such checkpoint"):
        read_checkpoint(tmp_path / "nowhere.ckpt")


def cut_off(file: Path) -> None:
    content = file.read_bytes()
    file.write_bytes(content[: len(content) // 2])


class Foreign:
    """An object whose unpickling runs code."""

    def __reduce__(self):
        return Path.touch, (Path("ran-foreign-code"),)


@pytest.mark.parametrize(
    "spoil",
    [
        cut_off,
        lambda file: file.write_text("not a checkpoint\n"),
        lambda file: file.write_bytes(b""),
        lambda file: file.write_bytes(pickle.dumps({"state_dict": Foreign()})),
        lambda file: torch.save({"state_dict": {}, "loops": Foreign()}, file),
        lambda file: (file.unlink(), file.mkdir()),
    ],
    ids=["cut-off", "text", "empty", "pickle", "archive-with-object", "folder"],
)
def test_what_is_no_readable_checkpoint(module, tmp_path, monkeypatch, spoil):
    monkeypatch.chdir(tmp_path)
    torch.save({"state_dict": module.state_dict()}, tmp_path / "last.ckpt")
    spoil(tmp_path / "last.ckpt")
    with pytest.raises(
        CheckpointError, match=r"last\.ckpt: cannot be read as a checkpoint \(.+\)\. Resume from another"
    ):
        read_checkpoint(tmp_path / "last.ckpt")
    assert not (tmp_path / "ran-foreign-code").exists()


@pytest.mark.parametrize("content", [{"weights": 1}, [1, 2]])
def test_another_archive_of_torch(tmp_path, content):
    torch.save(content, tmp_path / "other.pt")
    with pytest.raises(CheckpointError, match=r"other\.pt: holds no training state"):
        read_checkpoint(tmp_path / "other.pt")


def test_weights_alone_cannot_be_resumed(scripted, fit, run_dir):
    fit(scripted.script([1.0, 2.0, 3.0, 4.0]), validates=True)
    with pytest.raises(
        CheckpointError, match=r"best\.ckpt: weights without a training state; only RUN/checkpoints/last"
    ):
        check_resumable(run_dir / "checkpoints" / "best.ckpt", scripted)


def test_a_checkpoint_of_an_earlier_version_names_what_it_lacks(module, fit, run_dir):
    fit(module)
    path = run_dir / "checkpoints" / "last.ckpt"
    checkpoint = read_checkpoint(path)
    del checkpoint["remembered"]
    torch.save(checkpoint, run_dir / "earlier.ckpt")
    with pytest.raises(CheckpointError, match=r"earlier\.ckpt: an earlier version wrote it, without remembered\."):
        check_resumable(run_dir / "earlier.ckpt", module)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"lr": 1e-3}, r"optimizer\.lr was 0\.005, is 0\.001"),
        ({"weight_decay": 0.1}, r"optimizer\.weight_decay was 0\.0, is 0\.1"),
        ({"layer_decay": 0.9}, r"optimizer\.layer_decay was 1\.0, is 0\.9"),
        ({}, r"averaging\.ema_decay was null, is set"),
        ({"warmup_steps": 3}, None),
    ],
)
def test_settings_that_a_resumed_run_would_not_take_over_are_named(module, fit, run_dir, changes, message):
    fit(module)
    module.optimizer = replace(module.optimizer, **changes)
    expected = pytest.raises(CheckpointError, match=message) if message else nullcontext()
    with expected:
        check_resumable(run_dir / "checkpoints" / "last.ckpt", module, averages=not changes)


def test_another_teacher_is_refused_and_each_is_read_once(module, pretrained, fit, run_dir, monkeypatch):
    module.teacher = Teacher(pretrained().load(seed=5))
    computed = []
    fingerprint = BiEncoder.fingerprint
    monkeypatch.setattr(BiEncoder, "fingerprint", lambda encoder: computed.append(encoder) or fingerprint(encoder))
    fit(module, every_n_steps=1)
    path = run_dir / "checkpoints" / "last.ckpt"
    check_resumable(path, module)
    assert len(computed) == 1
    module.teacher = Teacher(pretrained().load(seed=5))
    check_resumable(path, module)
    for other in (Teacher(pretrained().load(seed=6)), None):
        module.teacher = other
        with pytest.raises(CheckpointError, match=r"cannot be resumed: teacher was '\w+', is (None|'\w+')\."):
            check_resumable(path, module)


def test_a_checkpoint_of_an_earlier_version_says_nothing_of_its_teacher(module, pretrained, fit, run_dir):
    fit(module)
    checkpoint = read_checkpoint(run_dir / "checkpoints" / "last.ckpt")
    del checkpoint["settings"]["teacher"]
    path = run_dir / "earlier.ckpt"
    torch.save(checkpoint, path)
    check_resumable(path, module)
    module.teacher = Teacher(pretrained().load(seed=5))
    with pytest.raises(CheckpointError, match=r"earlier\.ckpt: an earlier version wrote it, without teacher\."):
        check_resumable(path, module)


def test_a_fixed_temperature_is_the_one_that_a_resumed_run_is_given(module, infonce, fit, run_dir):
    fit(module)
    module.loss = TotalLoss({"infonce": infonce(temperature=0.02)})
    check_resumable(run_dir / "checkpoints" / "last.ckpt", module)
    module.load_state_dict(read_checkpoint(run_dir / "checkpoints" / "last.ckpt")["state_dict"])
    assert module.loss.temperature == pytest.approx(0.02)


def test_another_models_checkpoint_names_the_first_difference(module, fit, run_dir):
    fit(module)
    path = run_dir / "checkpoints" / "last.ckpt"
    module.encoder.transformer.resize_token_embeddings(100)
    name = r"encoder\.transformer\.embeddings\.word_embeddings\.weight"
    with pytest.raises(
        CheckpointError, match=rf"last\.ckpt: belongs to another model: {name} is \(260, 32\) .*\(100, 32\)"
    ):
        check_resumable(path, module)


def test_a_checkpoint_without_a_weight_of_the_model(module, fit, run_dir):
    fit(module)
    other = RetrieverModule(module.encoder, module.loss, AdamW(lr=1e-3, weight_decay=0.0, schedule="constant"))
    other.extra = torch.nn.Linear(2, 3)
    with pytest.raises(CheckpointError, match=r"extra\.bias is absent there and \(3,\)"):
        check_resumable(run_dir / "checkpoints" / "last.ckpt", other)
