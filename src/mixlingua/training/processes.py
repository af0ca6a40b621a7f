"""The processes of one run end together, and the run says which of them died and how."""

import logging
import os
import signal
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from multiprocessing import parent_process
from pathlib import Path
from typing import Any

from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.utilities.exceptions import SIGTERMException
from torch.multiprocessing.spawn import ProcessExitedException, ProcessRaisedException
from transformers.utils import logging as transformers_logging

from mixlingua import errors
from mixlingua.errors import Interrupted, TrainingError, interrupt, to_stderr, user_error
from mixlingua.files import write_json
from mixlingua.reading import read_json

POLL = 0.2  # seconds between two looks at the processes
GRACE = 10.0  # seconds in which a process may end by itself, once another is dead or asked it to


class RankSignals(Callback):
    """Signals of a run with several processes: rank 0, or the process that spawned the ranks, ends the others.

    Lightning's own handler of SIGTERM waits for all ranks, also for one that is dead. While steps run,
    `checkpoints.LastCheckpoint` has the signals.
    """

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Lightning has set its handler by now."""
        if trainer.world_size == 1 or threading.current_thread() is not threading.main_thread():
            return
        if is_spawned():
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            signal.signal(signal.SIGINT, signal.SIG_DFL)  # the system sends it when the process that spawned them dies
        elif trainer.global_rank == 0:
            signal.signal(signal.SIGTERM, interrupt)
        else:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all: rank 0 ends the others


@contextmanager
def ends_together(trainer: Trainer, run_dir: Path, give_up: Callable[[str], None]) -> Iterator[None]:
    """A context for `trainer.fit`: the ranks that this process started end with it, and it ends with them.

    run_dir: where ranks leave the errors that are meant for the user. give_up: gets the message where this process is
    stuck in a collective that the dead rank will not join; the process exits with status 2 then. Raises a rank's own
    error, or TrainingError, naming rank, process and signal or exit status, where a rank died; Interrupted where the
    ranks ended by a signal that was passed on to them.
    """
    report = run_dir / ".error.json"
    report.unlink(missing_ok=True)
    _report_errors(trainer.strategy.launcher, report)
    watch = _Watch(trainer, report, give_up)
    watch.start()
    try:
        with _signals_passed_on(trainer.strategy.launcher):
            yield
    except ProcessExitedException as error:
        raise TrainingError(_death(error.error_index, error.error_pid, error.exit_code)) from error
    except ProcessRaisedException as error:
        killed = [
            (rank, process)
            for rank, process in enumerate(trainer.strategy.launcher.procs)  # type: ignore[union-attr]
            if (process.exitcode or 0) < 0 and process.exitcode != -signal.SIGTERM
        ]
        if reported := _reported(report):
            raise reported from error
        if killed:  # of which the error is a consequence
            rank, process = killed[0]
            raise TrainingError(_death(rank, process.pid, process.exitcode)) from error
        raise
    except Exception as error:
        # A connection breaks before the process at its other end is gone.
        if user_error(error) is None and watch.started and watch.died.wait(GRACE):
            raise TrainingError(watch.message) from error
        raise
    finally:
        watch.stopped.set()
        if sys.exc_info()[0] is not None:
            _end([*watch.started, *getattr(trainer.strategy.launcher, "procs", ())])
        report.unlink(missing_ok=True)


@contextmanager
def _signals_passed_on(launcher: Any) -> Iterator[None]:
    """In the process that spawns the ranks: the first signal goes on to them, so that they save; a second one ends all.

    Ctrl-C in a terminal reaches the ranks as well, to which a signal more is no news.
    """
    in_main_thread = threading.current_thread() is threading.main_thread()
    if not in_main_thread or not trains_in_copies(launcher):
        yield
        return
    received: list[int] = []

    def receive(number: int, frame: object) -> None:
        if received or not launcher.procs:
            raise Interrupted(number)
        received.append(number)
        name = signal.Signals(number).name
        to_stderr(f"{name}: a step that runs is finished and saved. A second signal ends the run at once.")
        for process in launcher.procs:
            process.terminate()

    before = {number: signal.signal(number, receive) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    except (ProcessExitedException, ProcessRaisedException):
        if not received:
            raise
        raise Interrupted(received[0]) from None
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _report_errors(launcher: Any, report: Path) -> None:
    """Have every rank leave its error in a file: a spawned process gives the one that started it a text alone."""
    if launcher is None:
        return
    launch = launcher.launch

    def launch_reporting(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        del launcher.launch  # which goes to the ranks with what they run, and is no part of it
        return launch(partial(_reporting, function, report), *args, **kwargs)

    launcher.launch = launch_reporting


def _reporting(function: Callable[..., Any], report: Path, *args: Any, **kwargs: Any) -> Any:
    only_warnings()
    try:
        return function(*args, **kwargs)
    except SIGTERMException:  # Lightning's, of a signal just before training; its exit status is 0
        raise Interrupted(signal.SIGTERM) from None
    except Exception as error:
        if known := user_error(error):
            write_json(report, {"kind": type(known).__name__, "message": str(known)})
        raise


def _reported(report: Path) -> errors.MixlinguaError | None:
    if not report.exists():
        return None
    content = read_json(report)
    error: errors.MixlinguaError = getattr(errors, content["kind"])(content["message"])
    return error


class _Watch(threading.Thread):
    """Looks at the processes that Lightning starts by the command line; in one of these, at the one that started it.

    Lightning's own thread kills them all, and this process, without a word. It is given none to look at.
    """

    def __init__(self, trainer: Trainer, report: Path, give_up: Callable[[str], None]) -> None:
        super().__init__(daemon=True, name="ranks")
        self.trainer, self.report, self.give_up = trainer, report, give_up
        self.started: list[Any] = []
        self.stopped, self.died = threading.Event(), threading.Event()
        self.message = ""
        self.parent = os.getppid()
        self.has_own_parent = "LOCAL_RANK" in os.environ and os.environ["LOCAL_RANK"] != "0"

    def run(self) -> None:
        """Until `stopped`, or the end of this process."""
        while not self.stopped.wait(POLL):
            if self.has_own_parent and os.getppid() != self.parent:
                os._exit(1)
            self._take_over()
            for rank, process in enumerate(self.started, start=1):
                if process.poll():
                    return self._mourn(rank, process)

    def _take_over(self) -> None:
        launcher = self.trainer.strategy.launcher
        if type(launcher).__name__ == "_SubprocessScriptLauncher":
            procs: list[Any] = launcher.procs  # type: ignore[union-attr]
            while procs:
                self.started.append(procs.pop(0))

    def _mourn(self, rank: int, process: Any) -> None:
        self.message = str(_reported(self.report) or _death(rank, process.pid, process.returncode))
        self.died.set()
        if not self.stopped.wait(GRACE):
            self.give_up(self.message)
            to_stderr(f"error: {self.message}")
            _end(self.started)
            os._exit(2)


def _death(rank: int, pid: int, exit_code: int | None) -> str:
    code = exit_code or 0
    how = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with exit status {code}"
    hint = " The system kills processes by SIGKILL where memory is short." if code == -signal.SIGKILL else ""
    return (
        f"rank {rank} (process {pid}) {how}, and the others with it.{hint} Where checkpoints/last.ckpt was written, "
        "resume=RUN goes on from there."
    )


def _end(processes: list[Any]) -> None:
    """SIGKILL, since ranks go on after SIGTERM to save. processes: of subprocess or multiprocessing."""
    for process in filter(_is_alive, processes):
        process.kill()
    until = time.monotonic() + GRACE
    while any(map(_is_alive, processes)) and time.monotonic() < until:
        time.sleep(POLL)


def _is_alive(process: Any) -> bool:
    alive: bool = process.is_alive() if hasattr(process, "is_alive") else process.poll() is None
    return alive


def trains_in_copies(launcher: Any) -> bool:
    """Whether a strategy's launcher spawns or forks the ranks, so that the weights in this process stay as they are."""
    return type(launcher).__name__ == "_MultiProcessingLauncher"


def is_spawned() -> bool:
    return parent_process() is not None


def only_warnings() -> None:
    """In each process: keep Lightning's notices about itself, and the bars of saving, out of the run's output."""
    transformers_logging.disable_progress_bar()
    for name in ("pytorch_lightning", "lightning_fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
    logging.getLogger("torch.multiprocessing.spawn").setLevel(logging.ERROR)  # that it ends the other ranks
    warnings.filterwarnings("ignore", message=r".*isinstance\(treespec, LeafSpec\).*")  # Lightning 2.6 on torch 2.13
    warnings.filterwarnings("ignore", message=r".*Total length of `list` across ranks is zero.*")  # no validation
    warnings.filterwarnings("ignore", message=r".*does not have many workers.*")  # data.num_workers is the user's
    # A resumed run has checkpoints already, and may go on in another folder.
    warnings.filterwarnings("ignore", message=r".*(The dirpath has changed|Checkpoint directory .* is not empty).*")
