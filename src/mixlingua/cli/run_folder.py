"""A run folder belongs to one run: its name is free, it is locked while the run lives, and no other run's files mix in.

Hydra composes the name of the folder and then makes it, whether or not it is there. `ClaimedFolder` steps in between.
"""

import fcntl
import json
import logging
import os
import shutil
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from itertools import count
from pathlib import Path
from types import ModuleType

from hydra.experimental.callback import Callback
from omegaconf import DictConfig, OmegaConf, open_dict, read_write

from mixlingua.cli.run_record import checkpoint_of, holds_finished_run, is_rank_zero
from mixlingua.errors import ConfigError, PrunedError, StorageError, TrainingError, errors_on_stderr, user_error
from mixlingua.files import atomic_write, writable
from mixlingua.reading import read_status

logger = logging.getLogger(__name__)

CLAIM = ".claim"
_KEY = "run_dir"
# What a run of each action that can be resumed goes on from.
GOES_ON_FROM = {"train": "checkpoints/last.ckpt", "translate": "translations", "index": "rows", "encode": "vectors"}
_WITHOUT_RESULTS = ("status.json", "config.yaml")  # what a run leaves that ended before it began to work
_held: dict[Path, int] = {}  # the open claim files of this process, whose locks end with it


class ClaimedFolder(Callback):
    """Hydra callback: settles and claims the folder of a run, or of a sweep, before Hydra makes it.

    A name that is made of the time is a new folder: where it is taken, TIME-2 and so on. A folder that was named is
    locked, and refused while another run has it. The processes of one run share that of its rank 0.
    """

    def __init__(self) -> None:
        """Without settings."""

    def on_run_start(self, config: DictConfig, **kwargs: object) -> None:
        """Before the one run of a command."""
        with errors_on_stderr():  # Hydra only warns of an error in a callback
            _put(config, "run", _settled(config, "run"))

    def on_multirun_start(self, config: DictConfig, **kwargs: object) -> None:
        """Before the first job of a sweep, each of which is composed anew from the overrides."""
        with errors_on_stderr():
            folder = _settled(config, "sweep")
            _put(config, "sweep", folder)
            with read_write(config.hydra.overrides):
                escaped = str(folder).replace("\\", "\\\\").replace('"', '\\"')
                config.hydra.overrides.hydra.append(f'hydra.sweep.dir="{escaped}"')


def claim(folder: Path) -> None:
    """Keep other runs from a folder until `release`, or until this process ends, however it does.

    Raises ConfigError, naming the owner, where another process has it, StorageError where it cannot be written.
    """
    with writable(folder):
        folder.mkdir(parents=True, exist_ok=True)
        if folder.resolve() in _held:
            return
        # A record lock: a process that is forked, as a DataLoader's worker is, does not keep it alive.
        handle = os.open(folder / CLAIM, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        fcntl.lockf(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        holder = os.read(handle, 4096).decode(errors="replace").strip()
        os.close(handle)
        raise ConfigError(
            f"{folder}: another run is writing there ({holder}). Choose another hydra.run.dir, or wait for its end."
        ) from None
    except OSError as error:  # a file system without locks
        logger.warning("%s: cannot be locked (%s). Give no other run this folder.", folder, error.strerror)
    owner = {"pid": os.getpid(), "host": socket.gethostname(), "since": f"{datetime.now().astimezone():%FT%T%z}"}
    os.ftruncate(handle, 0)
    os.pwrite(handle, json.dumps(owner).encode() + b"\n", 0)
    _held[folder.resolve()] = handle


def release() -> None:
    """Give up every folder that this process has claimed."""
    while _held:
        handle = _held.popitem()[1]
        os.ftruncate(handle, 0)  # nobody's
        os.close(handle)


def check_unused(run_dir: Path, cfg: DictConfig, overrides: Sequence[str], *, multirun: bool) -> None:
    """Raise ConfigError where a folder holds results of another run, or job of a sweep, unless cfg.overwrite.

    Files in a folder that no run wrote belong to the user and are never replaced, also with cfg.overwrite. A run that
    did not finish may be resumed in its folder, or started again there with the same arguments. With cfg.overwrite, the
    weights that a run begins with must lie elsewhere.
    """
    if not (read_status(run_dir) or holds_finished_run(run_dir) or _goes_on_in(run_dir, cfg)):
        _refuse_foreign(run_dir, cfg)
    if cfg.overwrite:
        if cfg.action in _OVERWRITING and not _goes_on_in(run_dir, cfg):
            _refuse_own_weights(run_dir, cfg)
        return
    if holds_finished_run(run_dir):
        key = "hydra.sweep.dir, or hydra.sweep.subdir where jobs share it" if multirun else "hydra.run.dir"
        raise ConfigError(f"{run_dir} holds a finished run; choose another {key}, or give overwrite=true.")
    resumed = _goes_on_in(run_dir, cfg)
    status = read_status(run_dir)
    results = sorted(
        path.name
        for path in run_dir.iterdir()
        if path.name not in _WITHOUT_RESULTS and path.suffix != ".log" and not path.name.startswith(".")
    )
    if status and results and not resumed and status["overrides"] != list(overrides):
        raise ConfigError(
            f"{run_dir} holds files of a run with other arguments ({', '.join(results)}), whose state is "
            f"'{status['state']}'. Choose another hydra.run.dir, go on with it by resume={run_dir}, or give "
            "overwrite=true."
        )


_OVERWRITING = ("train", "evaluate")  # actions whose results `remove_overwritten` removes
# What they write, and what a reader of the folder takes for results of the run that wrote last.
_RESULTS = ("metrics*.json", "report*.json", "report.html", "per_query*", "worst_queries.json", "heatmap_*.png",
            "languages_*.png", "checkpoints", "model", "adapter", "csv", "tensorboard")  # fmt: skip
_REPLACED = {**dict.fromkeys(_OVERWRITING, _RESULTS), "index": ("rows", "vectors"), "encode": ("vectors",)}


def _refuse_foreign(run_dir: Path, cfg: DictConfig) -> None:
    """Raise ConfigError where a folder that never was a run's holds what the run would replace."""
    replaced = _REPLACED.get(cfg.action, ())
    if found := sorted(path.name for pattern in replaced for path in run_dir.glob(pattern)):
        raise ConfigError(
            f"{run_dir} was never the folder of a run (no status.json), but holds {', '.join(found)}, which this one "
            "would replace. Choose another hydra.run.dir."
        )


def remove_overwritten(run_dir: Path, cfg: DictConfig) -> None:
    """With overwrite=true, remove the results of the run that the folder holds, so that none stands beside new ones.

    Of a run that goes on in its folder, nothing is removed. Rank 0 alone acts.
    """
    if cfg.action not in _OVERWRITING or not cfg.overwrite or _goes_on_in(run_dir, cfg) or not is_rank_zero():
        return
    for found in [found for pattern in _RESULTS for found in run_dir.glob(pattern)]:
        shutil.rmtree(found) if found.is_dir() else found.unlink()


@contextmanager
def untouched_where_refused(run_dir: Path, cfg: DictConfig) -> Iterator[None]:
    """A run that is resumed in its own folder and refused leaves status.json and config.yaml as they were.

    The arguments that were refused would else be those that the next resume takes over. Refused are user errors before
    the run has written anything to go on from, but for those of training itself and of storage.
    """
    if not (_goes_on_in(run_dir, cfg) and cfg.action in GOES_ON_FROM and is_rank_zero()):
        yield
        return
    before = {name: (run_dir / name).read_bytes() for name in _WITHOUT_RESULTS if (run_dir / name).exists()}
    state = _last_change(run_dir / GOES_ON_FROM[cfg.action])
    try:
        yield
    except Exception as error:
        told = user_error(error)
        refused = told is not None and not isinstance(told, TrainingError | StorageError | PrunedError)
        if refused and _last_change(run_dir / GOES_ON_FROM[cfg.action]) == state:
            for name, content in before.items():
                with atomic_write(run_dir / name) as partial:
                    partial.write_bytes(content)
        raise


def _last_change(path: Path) -> int | None:
    return path.stat().st_mtime_ns if path.exists() else None


def _refuse_own_weights(run_dir: Path, cfg: DictConfig) -> None:
    paths = [OmegaConf.select(cfg, key) for key in ("model.name_or_path", "teacher.name_or_path")]
    for path in [*paths, *(OmegaConf.select(cfg, "averaging.models") or ())]:
        if path is not None and Path(str(path)).resolve().is_relative_to(run_dir.resolve()):
            raise ConfigError(
                f"overwrite=true: this run begins with {path}, which lies in the folder that it overwrites. Choose "
                "another hydra.run.dir."
            )


def _goes_on_in(run_dir: Path, cfg: DictConfig) -> bool:
    """Whether the run that is resumed is the one in this folder."""
    return cfg.resume is not None and checkpoint_of(cfg.resume).resolve().parent.parent == run_dir.resolve()


def _settled(config: DictConfig, kind: str) -> Path:
    """The folder of this command, claimed by rank 0."""
    if not config.hydra[kind].dir:  # as of a variable of the shell that is not set
        raise ConfigError(f"hydra.{kind}.dir=: name a folder; '.' is the one that you are in.")
    folder = Path(config.hydra[kind].dir)
    timed = "${now:" in OmegaConf.to_container(config.hydra[kind], resolve=False)["dir"]  # type: ignore
    if not is_rank_zero():
        return _of_rank_zero(folder) if timed else folder
    if timed:
        folder = _new(folder)
    claim(folder)
    if timed and "TORCHELASTIC_RUN_ID" in os.environ:
        _torchrun().tell_other_ranks(_KEY, str(folder.absolute()))
    return folder


def _new(folder: Path) -> Path:
    """Make the folder, which was not there before, under this name or with a number behind it."""
    for number in count(1):
        candidate = folder if number == 1 else folder.with_name(f"{folder.name}-{number}")
        candidate.parent.mkdir(parents=True, exist_ok=True)
        try:
            candidate.mkdir()
        except FileExistsError:
            continue
        return candidate
    raise AssertionError


def _of_rank_zero(folder: Path) -> Path:
    """The folder that rank 0 has claimed, as torchrun's processes tell one another."""
    if "TORCHELASTIC_RUN_ID" not in os.environ:
        raise ConfigError(
            f"hydra.run.dir: {folder} is made of the time, which may differ between the processes of this run. Give "
            "one that is the same for all, such as hydra.run.dir=runs/NAME, or choose trainer=slurm."
        )
    return Path(_torchrun().told_by_rank_zero(_KEY))


def _torchrun() -> ModuleType:
    from mixlingua import distributed  # with torch, which the check of a command does without

    return distributed


def _put(config: DictConfig, kind: str, folder: Path) -> None:
    with read_write(config.hydra[kind]), open_dict(config.hydra[kind]):
        config.hydra[kind].dir = str(folder)
