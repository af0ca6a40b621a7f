"""What can be typed: the options that are looked at here, the groups of conf/ with their choices, and the help.

Read without Hydra and torch, which take a second to import.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from string import Template

import yaml

from mixlingua.files import conf_folder


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
