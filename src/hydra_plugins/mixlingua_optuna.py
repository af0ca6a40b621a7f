"""Hydra plugin: a sweep whose values Optuna proposes, one trial after another or several at once.

Hydra takes plugins from this namespace only. Its released Optuna plugin pins Optuna 2.10; this one uses `ask` and
`tell` of a current Optuna, and gives up trials that a pruner sees no hope for.
"""

from collections.abc import Callable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ChoiceSweep, IntervalSweep, Override, RangeSweep
from hydra.core.plugins import Plugins
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf

from mixlingua.errors import ConfigError, PrunedError, differences, suggest
from mixlingua.reading import dotted

_BASIC = "hydra._internal.core_plugins.basic_launcher.BasicLauncher"
_ASIDE = ("hydra", "logger", "overwrite", "paths")  # sections that change no trial's figures
_running: list[Any] = []  # the trial whose job runs in this process


class OptunaSweeper(Sweeper):
    """Proposes values by TPE (Bergstra et al. 2011, NeurIPS), which learns from the trials before.

    params: key -> what is searched, in Hydra's words, such as interval(0,1), tag(log,interval(1e-5,1e-3)), range(1,10)
    and choice(a,b); those on the command line replace them
    n_trials: of this command; a study that is in hydra.sweep.dir already is continued, with the same settings only
    n_jobs: trials proposed at once, for launchers that run them side by side
    direction: of the objective: maximize or minimize
    seed: of the proposals
    prune: give up trials whose objective, measured every evaluation.every_n_steps, is worse than the median of the
    earlier trials at that step
    startup: finished trials before values are more than random, and before any is given up
    """

    def __init__(
        self,
        params: Mapping[str, str] | None = None,
        n_trials: int = 20,
        n_jobs: int = 1,
        direction: str = "maximize",
        seed: int = 0,
        prune: bool = False,
        startup: int = 5,
    ) -> None:
        if direction not in ("maximize", "minimize"):
            raise ConfigError(f"hydra.sweeper.direction={direction}: it is maximize or minimize.")
        for name, value in (("n_trials", n_trials), ("n_jobs", n_jobs)):
            if value < 1:
                raise ConfigError(f"hydra.sweeper.{name}={value}: a whole number of 1 or more is needed.")
        self.params = dict(params or {})
        self.n_trials, self.n_jobs, self.direction = n_trials, n_jobs, direction
        self.seed, self.prune, self.startup = seed, prune, startup

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Called by Hydra before `sweep`."""
        if find_spec("optuna") is None:
            raise ConfigError("hydra/sweeper=optuna needs Optuna: pip install optuna")
        self.config = config
        self.launcher = Plugins.instance().instantiate_launcher(
            config=config, hydra_context=hydra_context, task_function=task_function
        )
        if self.prune and (self.n_jobs > 1 or config.hydra.launcher._target_ != _BASIC):
            raise ConfigError(
                "hydra.sweeper.prune=true: only trials that run one after another in this process are given up early. "
                "Use hydra.sweeper.n_jobs=1 without another hydra/launcher, or prune=false."
            )

    def sweep(self, arguments: list[str]) -> list[Any]:
        """Run the trials and write RUN/optimization_results.yaml. Returns the jobs, as Hydra's own sweeper does."""
        import optuna

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        parser = OverridesParser.create()
        given = {override.get_key_element(): override for override in parser.parse_overrides(
            [*(f"{key}={value}" for key, value in self.params.items()), *arguments])}  # fmt: skip
        swept = {key: override for key, override in given.items() if override.is_sweep_override()}
        fixed = [
            text for override in given.values() if override not in swept.values() and (text := override.input_line)
        ]
        space = {key: _distribution(override) for key, override in swept.items()}
        assert self.config is not None and self.launcher is not None, "Hydra calls setup before sweep"
        interval = "evaluation.every_n_steps"
        if self.prune and interval not in space and OmegaConf.select(self.config, interval) is None:
            raise ConfigError(
                f"hydra.sweeper.prune=true: trials are given up by figures measured in between. Set {interval}=N, "
                "or prune=false."
            )
        if self.prune and self.config.action != "train":
            raise ConfigError(
                f"hydra.sweeper.prune=true: only action=train measures in between, not action={self.config.action}. "
                "Use prune=false."
            )
        folder = Path(self.config.hydra.sweep.dir)
        study = self._study(folder, self._settings(space))
        jobs: list[Any] = []
        while len(jobs) < self.n_trials:
            trials = [study.ask(space) for _ in range(min(self.n_jobs, self.n_trials - len(jobs)))]
            _running[:] = trials if self.prune else []
            lines = [[*fixed, *(f"{key}={_typed(trial.params[key])}" for key in space)] for trial in trials]
            finished = self.launcher.launch(lines, initial_job_idx=trials[0].number)
            for trial, job in zip(trials, finished, strict=True):
                self._tell(study, trial, job.return_value)
            jobs += finished
        _running.clear()
        complete = study.get_trials(states=[optuna.trial.TrialState.COMPLETE])
        if complete:
            best = {
                "best_params": study.best_params,
                "best_value": study.best_value,
                "best_job": study.best_trial.number,
            }
            OmegaConf.save(OmegaConf.create(best), folder / "optimization_results.yaml")
        return [jobs]

    def _settings(self, space: Mapping[str, Any]) -> dict[str, Any]:
        """By key, all that decides what the figures of trials mean, and from where their values are drawn."""
        assert self.config is not None
        tree: Any = OmegaConf.to_container(self.config, resolve=False)
        searched = [key.lstrip("+") for key in space if key not in tree["hydra"]["runtime"]["choices"]]  # no groups
        fixed = {
            key: value
            for key, value in dotted({name: part for name, part in tree.items() if name not in _ASIDE}).items()
            if not any(f"{key}.".startswith(f"{name}.") for name in searched)
        }
        drawn = {key: str(distribution) for key, distribution in space.items()}
        return {"hydra.sweeper.direction": self.direction, **fixed, **drawn}

    def _study(self, folder: Path, settings: dict[str, Any]) -> Any:
        """The study in the folder, or a new one. Raises ConfigError where its trials had other settings."""
        import optuna
        from optuna.storages import JournalStorage
        from optuna.storages.journal import JournalFileBackend
        from optuna.study import StudyDirection

        study = optuna.create_study(
            study_name="study",
            storage=JournalStorage(JournalFileBackend(str(folder / "study.log"))),
            pruner=optuna.pruners.MedianPruner(self.startup) if self.prune else optuna.pruners.NopPruner(),
            direction=StudyDirection[self.direction.upper()],
            load_if_exists=True,
        )
        if not study.trials and not study.user_attrs:
            study.set_user_attr("settings", settings)
        _check_continued(folder, study.user_attrs.get("settings"), settings)
        # A study that is continued would be given its first proposals again by the same seed.
        seed = self.seed + len(study.trials)
        study.sampler = optuna.samplers.TPESampler(seed=seed, n_startup_trials=self.startup)
        return study

    def _tell(self, study: Any, trial: Any, result: Any) -> None:
        from optuna.trial import TrialState

        if result.state == "finished":
            study.tell(trial, float(result))
        else:
            study.tell(trial, state=TrialState.PRUNED if result.state == "pruned" else TrialState.FAIL)


def watcher(objective: str | None) -> Callable[[int, Mapping[str, float]], None] | None:
    """What a training tells its figures in between to, by step; None where no trial runs that may be given up.

    It raises PrunedError where the trial is hopeless, ConfigError where the objective is not measured in between.
    """
    if not _running or objective is None:
        return None
    trial = _running[0]

    def watch(step: int, figures: Mapping[str, float]) -> None:
        if objective not in figures:
            raise ConfigError(f"objective={objective}: not measured in between.{suggest(objective, figures)}")
        trial.report(figures[objective], step)
        if trial.should_prune():
            raise PrunedError(
                f"given up at step {step}: {objective} is {figures[objective]:.4f}, worse than the median."
            )

    return watch


def _check_continued(folder: Path, stored: Mapping[str, Any] | None, settings: Mapping[str, Any]) -> None:
    """Raise ConfigError that names each setting in which a study's trials differ from those that would follow."""
    if stored is None:
        raise ConfigError(
            f"hydra.sweep.dir={folder}: an earlier version wrote its study, without settings. Choose another folder."
        )
    if changed := differences(stored, settings):
        raise ConfigError(
            f"hydra.sweep.dir={folder}: its study cannot be continued: {'; '.join(changed)}. "
            "Restore these settings, or choose another folder."
        )


def _distribution(override: Override) -> Any:
    """What Optuna draws a key from. Raises ConfigError where the words of Hydra have no counterpart."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    value: Any = override.value()
    numbers = value.range() if isinstance(value, RangeSweep) and value.step > 0 else None
    if problem := _unsearchable(value, numbers):
        raise ConfigError(f"{override.input_line}: {problem}")
    log = "log" in value.tags
    try:
        if isinstance(numbers, range):
            return IntDistribution(numbers[0], numbers[-1], step=numbers.step, log=log)
        if isinstance(value, IntervalSweep):
            low, high = _ends(value)
            if isinstance(low, int) or "int" in value.tags:  # int(interval(4,12)), tag(int,interval(4,12))
                return IntDistribution(int(low), int(high), log=log)
            return FloatDistribution(low, high, log=log)
    except ValueError as error:
        raise ConfigError(f"{override.input_line}: {error}") from None
    return CategoricalDistribution(list(override.sweep_string_iterator()))


def _unsearchable(value: Any, numbers: Any) -> str:
    """Why words of Hydra are refused; empty where they are not. numbers: of a range with a positive step."""
    if not isinstance(value, ChoiceSweep | IntervalSweep | RangeSweep):
        return "interval, range and choice are what is searched."
    if isinstance(value, RangeSweep) and value.step <= 0:
        return f"the step of a range is {value.step}; it must be above 0."
    if isinstance(numbers, range) and not numbers:
        return "the range is empty."
    takes = ("int", "log") if isinstance(numbers, range) or isinstance(value, IntervalSweep) else ()
    if unknown := sorted(value.tags.difference(takes)):
        return f"unknown tag {', '.join(unknown)}; it takes {' and '.join(takes) or 'none'}."
    if isinstance(value, IntervalSweep) and "int" in value.tags and any(end % 1 for end in _ends(value)):
        return "an interval of whole numbers needs whole ends."
    return ""


def _ends(interval: IntervalSweep) -> tuple[float, float]:
    assert interval.start is not None and interval.end is not None
    return interval.start, interval.end


def _typed(value: Any) -> str:
    return repr(value) if isinstance(value, float) else str(value)
