"""The entry point: `python run.py`, or `mixlingua` where the package is installed. --help says more.

Help is answered without Hydra and torch, which take a second to import.
"""

import argparse
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from string import Template

import yaml

from mixlingua.errors import user_error
from mixlingua.files import conf_folder


def main() -> None:
    """Run the command in sys.argv; exits with 2 and one message where it is wrong."""
    options = parsed(sys.argv[1:])
    if options.help:
        print(help_text(options.config_dir))
        return
    import hydra
    from omegaconf import DictConfig

    from mixlingua.cli.check import check_command_line
    from mixlingua.cli.configuration import register
    from mixlingua.cli.job import JobResult, run_job
    from mixlingua.cli.run_record import with_arguments_of_resumed

    @hydra.main(version_base="1.3", config_path=str(conf_folder()), config_name="config")
    def job(cfg: DictConfig) -> JobResult:
        return run_job(cfg)

    with errors_on_stderr():
        # Hydra reads sys.argv itself, and Lightning repeats it for the processes that it starts.
        sys.argv[1:] = with_arguments_of_resumed(sys.argv[1:])
        check_command_line(sys.argv[1:])
        register(parsed(sys.argv[1:]).config_dir)
        job()


def parsed(arguments: Sequence[str]) -> argparse.Namespace:
    """The options of the command line that we look at too; Hydra reports what is no option of its own."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("overrides", nargs="*")
    parser.add_argument("--help", "-h", action="store_true")
    parser.add_argument("--multirun", "-m", action="store_true")
    parser.add_argument("--config-dir", "-cd", type=Path)
    parser.add_argument("--config-name", "-cn", default="config")
    parser.add_argument("--cfg", "-c")
    parser.add_argument("--package", "-p")
    parser.add_argument("--info", "-i", nargs="?", const="all", dest="about_hydra")
    parser.add_argument("--shell-completion", "-sc", "--hydra-help", action="store_const", const="", dest="about_hydra")
    return parser.parse_known_intermixed_args(list(arguments))[0]


def help_text(config_dir: Path | None = None) -> str:
    """What --help prints: the template of conf/hydra/help with the groups, their choices and the default ones."""
    file = conf_folder() / "hydra" / "help" / "mixlingua.yaml"
    template = yaml.safe_load(file.read_text(encoding="utf-8"))["template"]
    groups, chosen = config_groups(config_dir), default_choices()
    width = max(map(len, groups)) + 2
    lines = []
    for group, choices in groups.items():
        default = chosen.get(group)
        defaults = default if isinstance(default, list) else [default]
        marked = (f"{choice}*" if choice in defaults else choice for choice in choices)
        lines.append(f"  {group:<{width}}{', '.join(marked)}")
    return Template(template).substitute(
        APP_CONFIG_GROUPS="\n".join([*lines, "  (* chosen where nothing is said)", ""])
    )


def config_groups(config_dir: Path | None = None) -> dict[str, list[str]]:
    """Group name -> its choices, sorted; Hydra's own groups left out."""
    groups: dict[str, set[str]] = {}
    for folder in [conf_folder(), *([config_dir] if config_dir else [])]:
        for file in folder.glob("*/*.yaml"):
            groups.setdefault(file.parent.name, set()).add(file.stem)
    return {group: sorted(groups[group]) for group in sorted(groups) if group != "hydra"}


def default_choices() -> dict[str, str | list[str] | None]:
    """Group name -> what conf/config.yaml chooses: a list where the group takes several choices."""
    entries = yaml.safe_load((conf_folder() / "config.yaml").read_text(encoding="utf-8"))["defaults"]
    return {group: choice for entry in entries if isinstance(entry, dict) for group, choice in entry.items()}


@contextmanager
def errors_on_stderr() -> Iterator[None]:
    """Turn errors meant for the user into one message and exit status 2; HYDRA_FULL_ERROR=1 keeps the traceback."""
    try:
        yield
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception as error:
        known = user_error(error)
        if known is None or full_errors():
            raise
        print(f"error: {known}", file=sys.stderr)
        sys.exit(2)


def full_errors() -> bool:
    """Whether tracebacks are asked for."""
    return os.environ.get("HYDRA_FULL_ERROR") == "1"
