"""Problems of a composed configuration, all at once and before anything loads."""

from collections.abc import Callable
from pathlib import Path

import pytest
from omegaconf import OmegaConf

import mixlingua
from mixlingua.cli.check import PLAIN, plain_problems
from mixlingua.cli.check import problems as problems_of
from mixlingua.cli.command_line import ACTIONS
from mixlingua.cli.configuration import complete, compose, wrong_types
from mixlingua.cli.train import build_loss, build_teacher
from mixlingua.errors import ConfigError

Problems = Callable[..., list[str]]


@pytest.fixture
def problems() -> Problems:
    def found(overrides: str, multirun: bool = False) -> list[str]:
        cfg = compose(overrides.split())
        return problems_of(cfg, ACTIONS[cfg.action], multirun=multirun)

    return found


@pytest.mark.parametrize(
    "overrides",
    [
        "",
        "model=tiny trainer=ddp_spawn",
        "action=evaluate evaluation=atlas",
        "postprocess=centring",
        "adapter=lora adapter.rank=8 adapter.targets=[query,key,value,dense]",
        "action=evaluate postprocess=projection postprocess.dims=8",
        "action=mine mining.margin=0",
        "action=mine mining.margin=null mining.across_languages=true",
        "mining.top_k=0",
    ],
)
def test_good_configurations_have_none(problems: Problems, overrides: str) -> None:
    assert problems(overrides) == []


@pytest.mark.parametrize(
    ("overrides", "start"),
    [
        ("sampler.alpha=1.5", "sampler.alpha"),
        (
            "sampler=scheduled sampler.schedule=constant",
            "sampler.schedule: a constant alpha is sampler=hybrid",
        ),
        ("data.batch_size=0", "data.batch_size=0: a whole number of 1 or more"),
        ("trainer.val_check_interval=5", "trainer.val_check_interval=5: there is no validation loss."),
        ("trainer.gradient_clip_val=-1", "trainer.gradient_clip_val=-1: a number of 0 or more"),
        ("trainer.max_steps=0", "trainer.max_steps=0: a whole number of 1 or more"),
        ("trainer.max_steps=2.5", "trainer.max_steps=2.5: a whole number"),
        ("data.batch_size=9 trainer=ddp_spawn", "data.batch_size=9: cannot be shared evenly by 2 processes; use 8."),
        ("data.languages=[de,xx]", "data.languages: unknown language 'xx'"),
        (
            "data.batch_size=1",
            "data.batch_size=1: there is no passage that a query could be told from, so loss=infonce",
        ),
        (
            "data.batch_size=1 data.num_negatives=1 loss=[infonce,relational,distillation]",
            "data.batch_size=1: there is no passage that a query could be told from, so loss=relational would",
        ),
        (
            "data.batch_size=1 data.num_negatives=1 data.validation_fraction=0.1",
            "data.batch_size=1: there is no passage that a query could be told from, so loss=infonce would",
        ),
        ("data.languages=[de,en,de]", "data.languages: de given more than once."),
        ("data=[]", "data=[]: nothing to train on"),
        ("data=jsonl", "data.sources.jsonl.path: needs a value; add data.sources.jsonl.path=... to the command."),
        (
            "+data.sources.ntrex.span=1",
            "data.sources.ntrex: settings (span) of something that is not chosen. Choose it as well (data=[...,ntrex])"
            ", or take them out with '~data.sources.ntrex'.",
        ),
        (
            "+postprocess.dims=4",
            "postprocess: settings (dims) of something that is not chosen. Choose it as well (postprocess=NAME), or "
            "leave it out with postprocess=none.",
        ),
        ("model=folder", "model.name_or_path: needs a value"),
        ("adapter=lora adapter.rank=0", "adapter.rank=0: 1 or more; adapter=none is training without"),
        ("adapter=lora adapter.targets=query", "adapter.targets=query: a list or null is needed."),
        (
            "augmentation=codeswitch_bilingual augmentation.path=nowhere",
            "augmentation: nowhere: no such folder of dictionaries. Get https://",
        ),
        (
            "augmentation=codeswitch_multilingual augmentation.probability=2",
            "augmentation.probability=2: a probability is within [0, 1]",
        ),
        ("data.validation_fraction=1.5", "data.validation_fraction=1.5: it must be at least 0 and below 1."),
        ("loss.infonce.weight=-1", "loss.infonce: weight=-1: a number of 0 or more."),
        ("data=hf data.sources.hf.path=README.md", "data.sources.hf.path=README.md: a file; put it into a folder"),
        (
            "data=jsonl data.sources.jsonl.path=null",
            "data.sources.jsonl.path=null: a text or a path or a list or a mapping is needed.",
        ),
        (
            "data=hf data.sources.hf.path=owner/name data.sources.hf.columns=query",
            "data.sources.hf.columns=query: a map",
        ),
        ("card.licence=5", "card.licence=5: a text or null is needed."),
        (
            "callbacks=[time_limit] callbacks.time_limit.duration=30min",
            "callbacks.time_limit: Error in call to target 'pytorch_lightning.callbacks.timer.Timer'",
        ),
        ("callbacks=[learning_rate] logger=[]", "callbacks.learning_rate: it logs, and there is no logger; choose one"),
        ("trainer.max_steps=null", "trainer.max_steps=null: a whole number is needed."),
        ("trainer.max_steps=5OO", "trainer.max_steps=5OO: a whole number is needed."),
        ("trainer.num_nodes=null", "trainer.num_nodes=null: a whole number is needed."),
        ("trainer.log_every_n_steps=0", "trainer.log_every_n_steps=0: a whole number of 1 or more is needed."),
        ("trainer.gradient_clip_val=abc", "trainer.gradient_clip_val=abc: a whole number or a number or null"),
        ("+trainer.limit_val_batches=few", "trainer.limit_val_batches=few: a whole number or a number or null"),
        ("trainer.devices=null", "trainer.devices=null: a list or a text or a whole number is needed."),
        ("trainer.devices=0", "trainer.devices=0: a number of 1 or more, or auto is needed."),
        ("trainer.devices=-1", "trainer.devices=-1: a number of 1 or more, or auto is needed."),
        ("trainer.devices=[0]", "trainer.devices=[0]: a number of 1 or more, or auto is needed."),
        ("trainer.devices=few", "trainer.devices=few: a number of 1 or more, or auto is needed."),
        (
            "trainer.accelerator=auto trainer.devices=[]",
            "trainer.devices=[]: a number of 1 or more, or auto, or",
        ),
        ("averaging.models=[nowhere]", "averaging.models: nowhere: no such file or folder."),
        ("averaging.weights=[2,1]", "averaging.weights: there are no averaging.models."),
        ("resume=nowhere", "resume=nowhere: no checkpoint at nowhere."),
        ("action=evaluate resume=nowhere", "resume=nowhere: action=evaluate goes on with nothing; train, translate"),
        ("action=mine resume=nowhere", "resume=nowhere: action=mine goes on with nothing"),
        ("action=encode resume=nowhere", "resume=nowhere: no such folder."),
        ("checkpoint.patience=3", "checkpoint.patience=3: it waits for a lower validation loss, and there is none."),
        ("action=mine evaluation.precision=half", "evaluation.precision=half: it is one of auto"),
        ("evaluation.average=mikro", "evaluation.average=mikro: it is one of macro, micro. Did you mean 'micro'?"),
        ("action=evaluate evaluation=[]", "evaluation=[]: nothing to measure"),
        ("postprocess=projection postprocess.dims=9", "postprocess.dims=9: the means of 9 languages"),
        ("action=evaluate postprocess=centring postprocess.languages=[de]", "postprocess.languages: de;"),
        ("action=mine data=[]", "data=[]: nothing to train on"),
        ("action=mine model=folder", "model.name_or_path: needs a value"),
        ("action=mine mining.num_negatives=0", "mining.num_negatives=0: a whole number of 1 or more"),
        ("action=mine mining.top_k=7", "mining.top_k=7: mining.num_negatives=8 cannot be chosen among so few"),
        ("action=mine mining.margin=-0.1", "mining.margin=-0.1: must be a difference of cosines"),
        ("action=mine mining.margin=5%", "mining.margin=5%: a number or null is needed."),
        ("action=mine mining.across_languages=de", "mining.across_languages=de: true or false is needed."),
        ("evaluation.before=no", "evaluation.before=no: true or false is needed."),
        ("data.languages=de", "data.languages=de: a list is needed."),
        ("data.languages=[1]", "data.languages=[1]: a list in which each is a text is needed."),
        ("model.name_or_path=5", "model.name_or_path=5: a text is needed. Quote it: model.name_or_path=\"'5'\""),
        ("sampler.alpha=half", "sampler.alpha=half: a number is needed."),
        ("evaluation.precision=bf16-mixd", "evaluation.precision=bf16-mixd: it is one of auto, bf16-mixed"),
        ("action=evaluate postprocess=centring data=[]", "data=[]: nothing to train on"),
        ("action=evaluate postprocess=centring data=jsonl", "data.sources.jsonl.path: needs a value"),
    ],
)
def test_a_problem_is_named(problems: Problems, overrides: str, start: str) -> None:
    (found,) = problems(overrides)
    assert found.startswith(start)


def test_all_are_found_together(problems: Problems) -> None:
    found = problems(
        "sampler.alpha=2 data.batch_size=-1 data.languages=[de,qq] trainer.max_steps=0 resume=x "
        "loss.infonce.temperature=-1"
    )
    assert len(found) == 6, found


def test_what_an_action_does_not_use_is_not_its_problem(problems: Problems) -> None:
    """An experiment may say it; where it is typed, it is refused by the next two tests."""
    assert problems("action=evaluate data=jsonl sampler.alpha=7 augmentation=codeswitch_bilingual") == []


def test_benchmarks_are_not_opened_for_an_action_that_measures_nothing(problems: Problems) -> None:
    """An experiment may choose one whose files are not there."""
    missing = "evaluation=folder evaluation.tasks.folder.folder=missing_benchmark"
    assert len(problems(f"action=evaluate {missing}")) == 1
    assert problems(f"action=index {missing}") == []


def typed(overrides: str) -> list[str]:
    cfg = compose(overrides.split())
    return problems_of(cfg, ACTIONS[cfg.action], overrides.split())


@pytest.mark.parametrize(
    ("overrides", "readers"),
    [
        ("action=evaluate data.max_passage_length=64", "train or encode"),
        ("action=evaluate evaluation.every_n_steps=5", "train"),
        ("action=evaluate trainer.max_steps=5", "train"),
        ("action=evaluate checkpoint.patience=2", "train"),
        ("action=mine evaluation.average=micro", "train or evaluate or export"),
        ("action=mine data.max_query_length=16", "train or encode"),
        ("action=encode data.num_negatives=2", "train"),
        ("action=translate data.validation_fraction=0.1", "train or evaluate or encode or mine or index"),
        (
            "action=export trainer.accelerator=cpu",
            "train or evaluate or encode or mine or translate or index or search or serve",
        ),
        ("action=evaluate sampler=crosslingual", "train"),
        ("action=evaluate averaging.start_share=0.5", "train"),
        ("action=evaluate evaluation=held_out data.batch_size=4", "train"),
        ("action=evaluate query=x", "search"),
        ("action=mine ~loss.infonce", "train"),
        ("action=encode model@teacher=tiny", "train"),
        ("action=index evaluation=xquad_r", "train or evaluate or export"),
        (
            "action=search index=folder index.path=. query=x data=ntrex",
            "train or evaluate or encode or mine or translate or index",
        ),
        ("action=compare runs=DIR k=3", "search"),
        ("k=3", "search"),
        ("mining.top_k=0", "mine"),
    ],
)
def test_what_is_typed_and_an_action_does_not_read_is_refused(overrides: str, readers: str) -> None:
    *others, unread = overrides.split()
    action = dict(text.split("=", 1) for text in others).get("action", "train")
    assert typed(overrides) == [
        f"{unread}: action={action} does not read it; it is for action={readers}. Leave it out."
    ]


@pytest.mark.parametrize(
    "overrides", ["action=encode encode.path=${nope} data=ntrex", "action=export export.int8=${nope}"]
)
def test_a_reference_to_nothing_is_named_where_other_settings_depend_on_it(overrides: str) -> None:
    (found,) = typed(overrides)
    assert "Interpolation key 'nope' not found" in found


@pytest.mark.parametrize(
    ("overrides", "setting"),
    [
        ("action=evaluate data=ntrex", "postprocess=NAME"),
        ("action=evaluate data.max_rows=9", "postprocess=NAME"),
        ("action=evaluate card.licence=mit", "postprocess=NAME"),
        ("action=index data=ntrex", "postprocess=NAME"),
        ("action=encode encode.path=conf data=ntrex", "encode.path=null"),
        ("action=export evaluation=atlas", "export.int8=true"),
        ("action=export to=sentence_transformers export.int8=true", "to=onnx"),
    ],
)
def test_what_an_action_reads_with_another_setting_alone_is_refused_without_it(overrides: str, setting: str) -> None:
    unread = overrides.split()[-1]
    (found,) = typed(overrides)
    assert found.startswith(f"{unread}: {overrides.split()[0]} reads it with {setting} alone.")


@pytest.mark.parametrize(
    "overrides",
    [
        "action=evaluate +evaluation.tasks.a._target_=builtins.dict +evaluation.tasks.a.n=${data.batch_size} "
        "data.batch_size=4",
        "action=evaluate +evaluation.tasks.a._target_=builtins.dict +evaluation.tasks.a.n=${data.num_negatives} "
        "data.num_negatives=${data.batch_size} data.batch_size=4",
        "action=evaluate +evaluation.tasks.a._target_=builtins.dict +evaluation.tasks.a.n=${oc.select:data.pivot,en} "
        "data.pivot=de",
        "action=evaluate postprocess=centring data=ntrex data.max_rows=9 card.licence=mit",
        "action=evaluate evaluation=held_out data=atlas data.validation_fraction=0.1",
        "action=encode data=ntrex data.max_passage_length=64",
        "action=export export.int8=true evaluation=atlas evaluation.average=micro",
        "action=compare runs=DIR evaluation.average=micro",
        "action=search index=folder index.path=. query=x k=3",
        "model@teacher=tiny card.licence=mit keep_teacher_vectors=true",
        "action=encode objective=x seed=3",
    ],
)
def test_what_is_typed_and_an_action_reads_by_a_reference_is_taken(overrides: str) -> None:
    assert typed(overrides) == []


@pytest.mark.parametrize("overrides", ["trainer=ddp trainer.accelerator=cpu", "trainer=cpu trainer.devices=2"])
def test_strategies_that_start_the_command_again_are_refused_in_sweeps(problems: Problems, overrides: str) -> None:
    (found,) = problems(overrides, multirun=True)
    assert "ddp_spawn" in found
    assert "whole sweep" in found
    assert problems(overrides) == []


def test_several_machines_need_a_launcher(problems: Problems, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SLURM_JOB_ID", "TORCHELASTIC_RUN_ID", "MASTER_ADDR"):
        monkeypatch.delenv(name, raising=False)
    slurm = "trainer=slurm trainer.accelerator=cpu"
    assert any("no SLURM job" in problem for problem in problems(slurm))
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    assert problems(slurm) == []


@pytest.mark.parametrize(
    ("precision", "hint"),
    [
        ("int8", "evaluation.precision=int8 does"),
        ("bf16-mixd", "Did you mean 'bf16-mixed'?"),
        ("8", "it is one of auto"),
    ],
)
def test_a_precision_that_training_does_not_have_is_named(problems: Problems, precision: str, hint: str) -> None:
    (found,) = problems(f"trainer.precision={precision}")
    assert found.startswith(f"trainer.precision={precision}: it is one of auto, bf16-mixed") and hint in found


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        ("trainer.precision=bf16-true", None),
        ("action=evaluate trainer.precision=bf16-true", "evaluation.precision=bf16-true: the weights are held in 32"),
        ("evaluation.precision=16-true", "evaluation.precision=16-true: the weights are held in 32-true"),
        (
            "trainer.precision=64-true evaluation.precision=32-true",
            "evaluation.precision=32-true: the weights are held in 64-true",
        ),
        ("trainer.precision=bf16-true postprocess=projection", "trainer.precision=bf16-true: layers of a postprocess"),
        (
            "trainer.strategy=fsdp trainer.precision=bf16-true",
            "evaluation.precision=bf16-true: the weights are held in",
        ),
    ],
)
def test_a_precision_that_the_weights_do_not_have_is_named(
    problems: Problems, overrides: str, said: str | None
) -> None:
    found = problems(overrides)
    assert len(found) == (said is not None) and all(problem.startswith(str(said)) for problem in found)


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("seed=-1", "seed=-1: a whole number from 0 to 4294967295 is needed."),
        (
            "seed='3'",
            "seed=3: a whole number is needed. '3' is a text here, as variables of the environment are; in YAML "
            "${oc.decode:...} reads it.",
        ),
        ("seed=abc", "seed=abc: a whole number is needed."),
        ("overwrite=no", "overwrite=no: true or false is needed."),
        ("resume=5", "resume=5: a text or null is needed. Quote it: resume=\"'5'\""),
        ("paths.data=[a]", "paths.data=['a']: a text is needed."),
        ("runs=[a,5]", "runs=['a', 5]: a text or a list in which each is a text or null is needed."),
        ("seed=${nothing}", "seed: Interpolation key 'nothing' not found"),
        ("keep_teacher_vectors=maybe", "keep_teacher_vectors=maybe: true or false is needed."),
    ],
)
def test_a_key_of_no_constructor_is_checked_before_anything_is_done(
    launch: Callable[..., int], tmp_path: Path, capfd: pytest.CaptureFixture, override: str, said: str
) -> None:
    assert launch("action=probe", override, "hydra.run.dir=run", probe=lambda cfg, run_dir: {}) == 2
    assert capfd.readouterr().err.strip() == f"error: {said}"
    assert not (tmp_path / "run" / "status.json").exists()


def test_every_key_of_no_constructor_has_a_type() -> None:
    cfg = compose()
    plain = {key for key, value in cfg.items() if not OmegaConf.is_config(value)}
    groups = {"teacher", "corpus"}
    assert plain - groups | {f"paths.{key}" for key in cfg.paths} == PLAIN.keys()
    assert plain_problems(cfg) == []


def test_norwegian_that_yaml_reads_as_false_is_explained(
    entry: Callable[[list[str]], int], tmp_path: Path, capfd: pytest.CaptureFixture
) -> None:
    (tmp_path / "experiment").mkdir()
    (tmp_path / "experiment" / "mine.yaml").write_text(
        "# @package _global_\ndata:\n  languages: [no, en]\n  pivot: no\n"
    )
    assert entry(["--config-dir=.", "experiment=mine", "model=tiny"]) == 2
    languages, pivot = capfd.readouterr().err.strip().splitlines()[1:]
    for said, key in ((languages, "data.languages=[False, 'en']"), (pivot, "data.pivot=False")):
        assert key in said and said.endswith("put such a text in quotes: 'no'.")


def test_what_an_argument_is_by_default_is_never_of_a_wrong_type(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "careless.py").write_text("def loss(size: int = None, names: list[str] = (), weight: float = 1): ...\n")
    monkeypatch.syspath_prepend(tmp_path)
    node = complete({"_target_": "careless.loss"})
    assert list(wrong_types(node, "loss")) == []
    assert list(wrong_types(node | {"size": True, "names": "a"}, "loss")) == [
        "loss.size=True: a whole number is needed.",
        "loss.names=a: a list is needed.",
    ]


TRANSLATE = "action=translate translator=folder translator.name_or_path=x"


def test_a_translation_uses_no_model_of_vectors(problems: Problems) -> None:
    assert problems(f"{TRANSLATE} sampler.alpha=7 model=folder evaluation=[] translation.languages=[de,zh-Hant]") == []


@pytest.mark.parametrize(
    ("overrides", "start"),
    [
        ("translation.languages=[en]", "translation.languages=['en']: nothing to translate 'en' into"),
        ("translation.languages=[de,xx]", "translation.languages: unknown language 'xx'"),
        ("translation.gate.min_script_share=2", "translation.gate.min_script_share=2"),
        ("translation.num_beams=0", "translation.num_beams=0: a whole number of 1 or more"),
        ("trainer.devices=2", "trainer.devices: 2 processes, but action=translate uses one device"),
        ("resume=nowhere", "resume=nowhere: no translations at nowhere/translations."),
        ("data=[]", "data=[]: nothing to train on"),
    ],
)
def test_a_problem_of_a_translation_is_named(problems: Problems, overrides: str, start: str) -> None:
    (found,) = problems(f"{TRANSLATE} {overrides}")
    assert found.startswith(start)


def test_a_translator_needs_a_name(problems: Problems) -> None:
    assert problems("action=translate translator=folder") == [
        "translator.name_or_path: needs a value; add translator.name_or_path=... to the command."
    ]


def test_a_teacher_that_no_loss_learns_from_is_refused() -> None:
    """Its name would stand in the run's provenance."""
    cfg = compose(["model@teacher=tiny", "loss=[infonce,multipositive]"])
    with pytest.raises(ConfigError, match=r"teacher.name_or_path=tiny: none of loss=\[infonce,multipositive\] learns"):
        build_teacher(cfg, build_loss(cfg), encoder=mixlingua.load_encoder("tiny").module)
    cfg = compose(["model@teacher=tiny", "loss=[infonce,distillation]"])
    assert build_teacher(cfg, build_loss(cfg), encoder=mixlingua.load_encoder("tiny").module) is not None
