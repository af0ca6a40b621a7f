"""The answer to --help, from the template in conf/hydra/help and the files in conf/.

Imports neither Hydra nor torch.
"""

from pathlib import Path
from string import Template

import yaml


def help_text(conf: Path) -> str:
    """The help template with $APP_CONFIG_GROUPS replaced by the groups of `conf`, their choices and defaults."""
    template = yaml.safe_load((conf / "hydra" / "help" / "mixlingua.yaml").read_text(encoding="utf-8"))["template"]
    chosen = default_choices(conf)
    groups = config_groups(conf)
    width = max(map(len, groups)) + 2
    lines = []
    for group, choices in groups.items():
        marked = (f"{choice}*" if choice in chosen.get(group, []) else choice for choice in choices)
        lines.append(f"  {group:<{width}}{', '.join(marked)}")
    return Template(template).substitute(
        APP_CONFIG_GROUPS="\n".join([*lines, "  (* chosen where nothing is said)", ""])
    )


def config_groups(conf: Path) -> dict[str, list[str]]:
    """Group name -> its choices, sorted; Hydra's own groups left out."""
    folders = sorted(path for path in conf.iterdir() if path.is_dir() and path.name != "hydra")
    return {folder.name: sorted(path.stem for path in folder.glob("*.yaml")) for folder in folders}


def default_choices(conf: Path) -> dict[str, list[str]]:
    """Group name -> the choices of the primary configuration's defaults list."""
    entries = yaml.safe_load((conf / "config.yaml").read_text(encoding="utf-8"))["defaults"]
    chosen: dict[str, list[str]] = {}
    for entry in entries:
        if isinstance(entry, dict):
            for group, choice in entry.items():
                chosen[group] = choice if isinstance(choice, list) else [choice] if choice else []
    return chosen
