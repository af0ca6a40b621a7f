"""What is typed on the command line, before Hydra sees it."""

from pathlib import Path

import pytest

from mixlingua.cli.command_line import spelled_out
from mixlingua.cli.configuration import compose
from mixlingua.cli.names import check_command_line
from mixlingua.errors import ConfigError


@pytest.mark.parametrize(
    "arguments",
    [
        "",
        "sampler=hybrid model=labse",
        "-m sampler=monolingual,crosslingual,hybrid seed=0,1,2",
        "action=evaluate model=e5_small_q4 evaluation=xquad_r paths.data=DIR",
        "data=ntrex",
        "data=[ntrex,flores,pud] data.languages=[de,en]",
        "-m data=[ntrex,flores],ntrex trainer.max_steps=1,2",
        "-m sampler=hybrid sampler.alpha=0.1,0.9",
        "-m sampler=glob(h*)",
        "logger=[csv,wandb] logger.wandb.project=mine",
        "logger=[]",
        "hydra.run.dir=here resume=there",
        "+hydra.job.env_set.NAME=value",
        "+trainer.limit_val_batches=1 +trainer.profiler=simple",
        # what Lightning adds for the processes it starts
        'trainer=ddp hydra.run.dir="outputs/a=b" hydra.job.name=train_ddp_process_1 hydra.output_subdir=null',
    ],
)
def test_valid_commands_pass(arguments: str) -> None:
    check_command_line(arguments.split())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("samplr=hybrid", "samplr=hybrid: no key or group 'samplr'. Did you mean 'sampler'?"),
        ("sampler=hybird", "no 'hybird' in conf/sampler; choices: crosslingual, .* Did you mean 'hybrid'?"),
        ("data=[ntrex,flroes]", "data=flroes: no 'flroes' in conf/data; .* Did you mean 'flores'?"),
        ("-m seed=0,1 sampler=mixed,hybird", "Did you mean 'hybrid'?"),
        ("data.batchsize=3", "no key or group 'data.batchsize'. Did you mean 'data.batch_size'?"),
        ("batch_size=3", "no key or group 'batch_size'. Did you mean 'data.batch_size'?"),
        ("optimizer.zzz=3", "no key or group 'optimizer.zzz'. 'optimizer' has lr, "),
        ("hydra.run.folder=x", "no key or group 'hydra.run.folder'. 'hydra.run' has dir."),
        ("-m sampler=hybrid,mixed sampler.alpha=0.3", "no key or group 'sampler.alpha' with sampler=mixed."),
        ("+data.batch_size=3", "every key is declared, so '\\+' would .* write data.batch_size=3."),
        ("+trainer.max_epochs=1", "trainer.max_epochs=1: a run is one epoch of .* write trainer.max_steps=N."),
        ("trainer.max_epochs=1", "trainer.max_epochs=1: a run is one epoch of .* write trainer.max_steps=N."),
        ("+trainer.max_stepz=1", "Trainer takes no 'max_stepz'. Did you mean 'max_steps'?"),
        ("++seed=3", "every key is declared, .* write seed=3."),
        ("loss.retention.weight=20", "'retention' is not chosen. .* loss=\\[...,retention\\]"),
        ("data.sources.ntrex.span=3", "'ntrex' is not chosen. .* data=\\[...,ntrex\\]"),
        ("evaluation.tasks.xquad_r.articles=2", "'xquad_r' is not chosen. .* evaluation=\\[...,xquad_r\\]"),
        ("loss=[infonce,infonce]", "loss=\\[infonce,infonce\\]: 'infonce' is chosen 2 times; name it once."),
        ("evaluation=[atlas,null]", "evaluation=None: no 'None' in conf/evaluation; choices: atlas, "),
        ("~logger", "cannot be deleted; write logger=\\[\\] where"),
        ("~data.sources.ntrexx", "no key or group 'data.sources.ntrexx'."),
        ("logger=null", "logger=null: write logger=\\[\\] for none."),
        ("sampler=null", "sampler=null: null is no choice; choices: crosslingual, "),
        ("-m model@teacher=null,tiny", "null is no choice; choices: bge_m3, "),
        ("model@teacher=tinny", "model@teacher=tinny: no 'tinny' in conf/model; .* Did you mean 'tiny'?"),
        ("teacher=tiny", "teacher=tiny: 'teacher' is filled by a choice; write model@teacher=NAME."),
        ("teacher.pooling=cls", "nothing is chosen that would have it. Choose it too: model@teacher=NAME."),
        ("adapter.rank=8", "nothing is chosen that would have it. Choose it too: adapter=NAME."),
        ("data.languages={de:1}", "data.languages={de:1} \\(Cannot merge DictConfig with ListConfig\\)"),
        ("-m sampler.alpha=interval(0,1)", "a range is for a sweeper .* Name values: sampler.alpha=A,B."),
        ("-m trainer.max_steps=glob(*)", "glob\\(\\*\\): it stands for no value at all."),
        ("trainer=[cpu,gpu]", "trainer takes one choice"),
        (
            "data=ntrex,flores",
            "several values need -m .* brackets for one run with all of them: data=\\[ntrex,flores\\]",
        ),
        ("paths=there", "'paths' holds further keys: data, cache"),
        ("seed=[", "not of the form key=value"),
        ("paths.data=~/data", "Write \\$HOME in the place of ~."),
        ("paths.data=/home/jürgen", "is quoted for the shell and for Hydra: \"paths.data='/home/jürgen'\""),
        ("evaluate", "evaluate: an action is chosen by action=evaluate."),
        ("evalute", "evalute: not of the form key=value. Did you mean 'evaluate'?"),
        ("epochs=3", "epochs=3: a run is one epoch of .* write trainer.max_steps=N."),
        ("model=intfloat/e5", "write model=folder model.name_or_path=intfloat/e5"),
        ("data=my.jsonl", "write data=jsonl data.sources.jsonl.path=my.jsonl"),
        ("trainer.limit_val_batches=1", "add it by '\\+trainer.limit_val_batches=1'"),
        ("+trainer.limit_val_batch=1", "Trainer takes no 'limit_val_batch'. Did you mean 'limit_val_batches'?"),
        ("+trainer.fast_dev_run=true", "write trainer.max_steps=2 'evaluation=\\[\\]'"),
        ("--config-dir=nowhere", "--config-dir=nowhere: no such folder."),
    ],
)
def test_wrong_commands_are_refused_with_the_way_out(arguments: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message.replace("?", "\\?")):
        check_command_line(arguments.split())


def test_all_problems_are_listed_together() -> None:
    with pytest.raises(ConfigError) as refused:
        check_command_line(["samplr=hybrid", "model=labs", "trainer.max_step=3"])
    text = str(refused.value)
    assert "3 problems" in text
    assert all(name in text for name in ("'sampler'", "'labse'", "'trainer.max_steps'"))


def test_choices_of_a_further_folder_count(tmp_path: Path) -> None:
    (tmp_path / "experiment").mkdir()
    (tmp_path / "experiment" / "mine.yaml").write_text("# @package _global_\nseed: 7\n")
    check_command_line(["--config-dir", str(tmp_path), "experiment=mine"])
    with pytest.raises(ConfigError, match=r"no 'min' in conf/experiment.*Did you mean 'mine'"):
        check_command_line(["--config-dir", str(tmp_path), "experiment=min"])


@pytest.mark.parametrize(
    ("command", "is_sweep"),
    [
        ("", False),
        ("seed=1", False),
        ("-m seed=0,1", True),
        ("hydra.mode=MULTIRUN", True),
        ("experiment=alpha_sweep", True),
    ],
)
def test_a_sweep_is_told_by_the_command_or_its_configuration(command: str, is_sweep: bool) -> None:
    assert check_command_line(command.split()) == is_sweep


def test_what_is_held_by_name_may_be_taken_out() -> None:
    """As the message says on settings of a loss, a source or a benchmark that is not chosen."""
    without = ["experiment=best_small_alignment", "loss=[distillation,relational]", "~loss.retention"]
    check_command_line(["experiment=best_small", "data=public_parallel", "~data.sources.qa"])
    check_command_line(without)
    assert list(compose(without).loss) == ["distillation", "relational"]


def test_null_takes_an_optional_choice_back() -> None:
    """Hydra takes null in conf/config.yaml and refuses it on the command line."""
    arguments = spelled_out(["model@teacher=tiny", "model@teacher=null", "experiment=null", "seed=1"])
    check_command_line(arguments)
    assert compose(arguments).teacher is None
