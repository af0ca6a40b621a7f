"""action=dashboard: a W&B workspace and report over the runs of a folder; leave what was sent in dashboard.json."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from mixlingua.cli.compare import runs_of
from mixlingua.cli.show import say
from mixlingua.comparison.runs import FinishedRun
from mixlingua.comparison.setups import Setup, setups
from mixlingua.errors import ConfigError, DataError
from mixlingua.evaluation.results import without_shares
from mixlingua.evaluation.run_folder import read_results
from mixlingua.files import write_json
from mixlingua.reading import read_json

# What stands for the choice of a group in a run's configuration; data has no single key.
_CHOICES = {"sampler": "sampler._target_", "model": "model.name_or_path"}


def dashboard(cfg: DictConfig, run_dir: Path) -> dict[str, float]:
    """Make a workspace and a report for what the finished runs in cfg.runs logged to W&B, and save them there.

    Without a key, or with logger.wandb.mode=offline, they are written to run_dir only. Returns the number of panels.
    """
    if "wandb" not in cfg.logger:
        raise ConfigError("action=dashboard needs logger=wandb, with the logger.wandb.project of the runs.")
    try:
        from mixlingua.report.wandb import KEY, LOGGED, default_entity, wandb_mode
        from mixlingua.report.wandb_dashboard import Dashboard
    except ModuleNotFoundError as error:
        raise ConfigError(f"action=dashboard needs wandb-workspaces ({error}): pip install wandb-workspaces") from error
    runs, left_out = runs_of(cfg)
    logged = _logged(runs)
    results = [read_results(run.folder) for run in runs if run.folder in logged]
    made = Dashboard(
        project=cfg.logger.wandb.project,
        averages=list(dict.fromkeys(key for one in results for key in without_shares(one.aggregate()))),
        main_metrics={task: metric for one in results for task, metric in one.main_metrics.items()},
        differing=list(_differing(setups(runs)[0])),
        settings=frozenset(key for run in runs for key in _keys(run.config)),
        **{kind: frozenset(name for names in logged.values() for name in names[kind]) for kind in LOGGED},
    )
    online = wandb_mode(cfg.logger.wandb.mode) == "online"
    entity = cfg.logger.wandb.entity or (default_entity() if online else "")
    specification = made.specification(entity)
    write_json(run_dir / "dashboard.json", specification)
    addresses = made.publish(entity) if online else []
    for line in left_out:
        say(f"{line}; left out.", "yellow")
    for address in addresses:
        say(address)
    if not addresses:
        say(f"Not sent: no key ({KEY}), or an offline mode. The same command with a key sends it.")
    say(f"Written: {run_dir / 'dashboard.json'}")
    sections = specification["workspace"]["section"]["panelBankConfig"]["sections"]
    return {"runs": len(logged), "panels": sum(len(section["panels"]) for section in sections)}


def _logged(runs: Sequence[FinishedRun]) -> dict[Path, Mapping[str, Sequence[str]]]:
    """Folder -> what its run logged to W&B, for the runs that did."""
    files = {run.folder: run.folder / "wandb" / "logged.json" for run in runs}
    logged = {folder: read_json(file) for folder, file in files.items() if file.exists()}
    if not logged:
        raise DataError(
            f"runs: none of the {len(runs)} has wandb/logged.json, which a run leaves that logs to W&B. Run them with "
            "'logger=[csv,wandb]'."
        )
    return logged


def _differing(groups: Sequence[Setup]) -> Iterator[str]:
    """The configuration keys in which set-ups differ."""
    for override in dict.fromkeys(key for group in groups for key in group.said):
        key = _CHOICES.get(override, override)
        if "." in key:
            yield key


def _keys(tree: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    for name, value in tree.items():
        if isinstance(value, dict):
            yield from _keys(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}"
