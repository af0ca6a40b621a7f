"""What the configuration key `resume` means."""

from collections.abc import Sequence
from pathlib import Path

from mixlingua.app.status import read_status


def checkpoint_of(resume: str) -> Path:
    """The checkpoint that `resume` names: a file, or the last one of a run folder."""
    path = Path(resume)
    return path / "checkpoints" / "last.ckpt" if path.is_dir() else path


def translations_of(resume: str) -> Path:
    """The folder of translations that `resume` names, in action=translate: that of a run folder."""
    return Path(resume) / "translations"


def with_arguments_of_resumed(arguments: Sequence[str]) -> list[str]:
    """The command line of a resumed run: what the stopped one was started with, then what is said now.

    An argument given now replaces the stopped run's own; a group given now as none loses the settings that it had.
    Unchanged where nothing is resumed, in a sweep, and where the checkpoint lies in no run folder.
    """
    given = dict(argument.split("=", 1) for argument in arguments if "=" in argument)
    if "resume" not in given or {"-m", "--multirun"} & set(arguments):
        return list(arguments)
    run_dir = checkpoint_of(given["resume"]).parent.parent
    left_out = tuple(f"{group}." for group, choice in given.items() if choice == "none")
    earlier = [
        argument
        for argument in read_status(run_dir).get("overrides", [])
        if _key(argument) not in given and not _key(argument).startswith(left_out)
    ]
    return [*earlier, *arguments]


def _key(argument: str) -> str:
    return argument.split("=", 1)[0]
