"""RUN/status.json: what became of a run, for people, for sweeps and for the next run in the same folder."""

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from mixlingua.app.user_errors import user_error
from mixlingua.files import atomic_write


def is_rank_zero() -> bool:
    """Whether this process is the one that writes, by the variables that Lightning, torchrun and SLURM set."""
    for variables in (("RANK",), ("NODE_RANK", "LOCAL_RANK"), ("SLURM_PROCID",)):
        ranks = [os.environ[name] for name in variables if name in os.environ]
        if ranks:
            return all(int(rank) == 0 for rank in ranks)
    return True


def read_status(run_dir: Path) -> dict[str, Any]:
    """The content of status.json; empty where there is none."""
    path = run_dir / "status.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def holds_finished_run(run_dir: Path) -> bool:
    return read_status(run_dir).get("state") == "finished" or (run_dir / "metrics.json").exists()


@contextmanager
def recorded(run_dir: Path, action: str, overrides: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Keep status.json up to date while the body runs; the body may put its results in the yielded dictionary.

    States: running, finished, failed (with the error), interrupted (Ctrl-C, or a scheduler's SIGTERM). A process that
    is killed leaves `running` with its pid. Only rank zero writes.
    """
    status: dict[str, Any] = {
        "state": "running",
        "action": action,
        "overrides": list(overrides),
        "pid": os.getpid(),
        "started": _now(),
        "ended": None,
        "error": None,
        "metrics": {},
    }
    _write(run_dir, status)
    try:
        yield status["metrics"]
    except BaseException as error:
        message = str(user_error(error) or error) or type(error).__name__
        status |= {"state": _state_after(error), "error": message, "ended": _now()}
        _write(run_dir, status)
        raise
    _write(run_dir, status | {"state": "finished", "ended": _now()})


def _state_after(error: BaseException) -> str:
    # Lightning turns Ctrl-C into SystemExit, and SIGTERM into a SystemExit of its own.
    interrupts = (KeyboardInterrupt, SystemExit)
    return "interrupted" if isinstance(error, interrupts) else "failed"


def _write(run_dir: Path, status: dict[str, Any]) -> None:
    if is_rank_zero():
        with atomic_write(run_dir / "status.json") as partial:
            partial.write_text(json.dumps(status, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _now() -> str:
    return datetime.now().astimezone().isoformat(timespec="seconds")
