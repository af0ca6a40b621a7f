"""From typed arguments to a run or a sweep: what a resumed run takes over, Hydra, and the table of a sweep."""

import os
import re
import sys
from collections.abc import Container, Sequence
from pathlib import Path

import hydra
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from omegaconf import DictConfig
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

import mixlingua
from mixlingua.cli.command_line import parsed, spelled_out
from mixlingua.cli.configuration import composer
from mixlingua.cli.job import JobResult, run_job
from mixlingua.cli.names import check_command_line
from mixlingua.cli.run_folder import release
from mixlingua.cli.run_record import checkpoint_of
from mixlingua.errors import ConfigError
from mixlingua.files import conf_folder
from mixlingua.reading import read_status


def launch(arguments: Sequence[str]) -> None:
    """Run what was typed, once or as a sweep, or show its configuration. Raises ConfigError where it is wrong.

    After a sweep in which a job failed, the process ends with status 1.
    """
    arguments = with_arguments_of_resumed(spelled_out(arguments))
    options = parsed(arguments)
    if set(options.for_hydra) - {"--run", "-r"}:  # --info and its like, which look at nothing but sys.argv
        return _hydra_alone()
    is_sweep = check_command_line(arguments)
    _let_launchers_import_this()
    try:
        with composer(options.config_dir):
            hydra = GlobalHydra.instance().hydra
            assert hydra is not None
            given = (options.config_name, options.overrides)
            if options.cfg:
                hydra.show_cfg(*given, options.cfg, options.package, options.resolve)
            elif is_sweep:
                overrides = [*options.overrides, "hydra.mode=MULTIRUN"]  # each job is to know that there are others
                batches = hydra.multirun(options.config_name, run_job, overrides)
                _show_sweep([(list(job.overrides or []), job.return_value) for jobs in batches for job in jobs])
            else:
                hydra.run(options.config_name, run_job, options.overrides)
    finally:
        release()


def _let_launchers_import_this() -> None:
    """Processes that a launcher starts, on this machine or by SLURM, do not begin with run.py, which knows src/."""
    source = str(Path(mixlingua.__file__).resolve().parents[1])
    paths = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    if source not in paths:
        os.environ["PYTHONPATH"] = os.pathsep.join([source, *filter(None, paths)])


def _hydra_alone() -> None:
    @hydra.main(version_base="1.3", config_path=str(conf_folder()), config_name="config")
    def job(cfg: DictConfig) -> None:
        raise ConfigError("a run takes no option of Hydra beside --config-dir, --config-name and -m.")

    job()


def with_arguments_of_resumed(arguments: Sequence[str]) -> list[str]:
    """The command line of a resumed run: what the stopped one was started with, then what is said now.

    An argument given now replaces the stopped run's own; a group given now as none loses the settings that it had.
    A job of a sweep is resumed alone, whatever its experiment goes through: hydra.mode=RUN says so.
    Unchanged where nothing is resumed, in a sweep, and where the checkpoint is a file that lies in no run folder.
    Raises ConfigError for a folder without status.json, and for a recorded argument that is no plain override.
    """
    if {"-m", "--multirun"} & set(arguments):
        return list(arguments)
    given = {_name(override): override for override in map(_override, arguments) if override is not None}
    resume = given["resume"].value() if "resume" in given else None
    if resume is None:
        return list(arguments)
    run_dir = checkpoint_of(str(resume)).parent.parent
    status = read_status(run_dir)
    if not status and Path(str(resume)).is_dir():
        raise ConfigError(f"resume={resume}: {run_dir / 'status.json'} is not there, so the folder holds no run.")
    left_out = tuple(f"{group}." for group, override in given.items() if override.value() == "none")
    recorded = [text for text in status.get("overrides", []) if not _replaced(text, given, left_out)]
    for text in recorded:
        _check_recorded(text, run_dir)
    alone = ["hydra.mode=RUN"] if status and "hydra.mode" not in given else []
    return [*recorded, *alone, *arguments]


def _replaced(text: str, given: Container[str], left_out: tuple[str, ...]) -> bool:
    """Whether an argument given now stands in the place of a recorded one."""
    override = _override(text)
    return override is not None and (_name(override) in given or override.key_or_group.startswith(left_out))


def _name(override: Override) -> str:
    """The key, or the group and its package: model and model@teacher are two choices of one group."""
    return override.get_key_element().lstrip("+~")


def _check_recorded(text: str, run_dir: Path) -> None:
    """Raise ConfigError where a recorded argument is more than a value of a declared key.

    The folder may come from anyone: what could choose other code or other files of configuration, or read the
    environment, is refused. So is every resolver of OmegaConf, since oc.decode could spell what is refused.
    """
    override = _override(text)
    key = override.key_or_group if override is not None else ""
    added = override is not None and (override.is_add() or override.is_force_add()) and not key.startswith("trainer.")
    computed = re.search(r"\$\{[^}]*:", text)
    if override is None or added or computed or re.match(r"hydra\b", key) or "_target_" in text:
        raise ConfigError(
            f"{run_dir / 'status.json'}: overrides has '{text}', which is not taken from a folder: it is no plain "
            "KEY=VALUE of a declared key. If you trust it, give it on the command line again."
        )


def _override(text: str) -> Override | None:
    """The override that an argument is; None for an option, and for what Hydra cannot parse, which is told later."""
    try:
        return None if text.startswith("-") else OverridesParser.create().parse_override(text)
    except HydraException:
        return None


def _show_sweep(jobs: list[tuple[list[str], JobResult]]) -> None:
    console = Console(markup=False)  # brackets are lists and parts of paths
    console.print(sweep_table(jobs))
    console.print(f"Runs in {jobs[0][1].run_dir.parent}", highlight=False, soft_wrap=True)
    if any(result.state == "failed" for _, result in jobs):
        sys.exit(1)


def sweep_table(jobs: list[tuple[list[str], JobResult]]) -> Table:
    """One line for each job: the overrides in which jobs differ, state and the figures that the actions returned."""
    common = set.intersection(*(set(overrides) for overrides, _ in jobs)) if len(jobs) > 1 else set()
    names = list(dict.fromkeys(name for _, result in jobs for name in result.metrics))
    table = Table(title="Sweep", title_justify="left", box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_column("job", justify="right")
    table.add_column("overrides", no_wrap=True)
    table.add_column("state")
    for name in names:  # on several lines, so that a terminal of 80 columns shows all of a key
        heading = name.replace("/", "\n").replace("lingual", "-\nlingual").replace("_", "_\n")
        table.add_column(heading, justify="right")
    for number, (overrides, result) in enumerate(jobs):
        state = Text(result.state, style="red" if result.state == "failed" else "")
        different = "\n".join(override for override in overrides if override not in common)
        table.add_row(str(number), different, state, *(_figure(result.metrics.get(name)) for name in names))
    return table


def _figure(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:.4f}" if abs(value) < 10 else f"{value:,.1f}"
