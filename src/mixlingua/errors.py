"""Errors that a user can put right, how several are told at once, and how they reach the terminal."""

import difflib
import errno
import os
import re
import signal
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path


class MixlinguaError(ValueError):
    """Something the user can put right: the message says what, the value, where it came from and what to do."""


class ConfigError(MixlinguaError):
    """A configuration key, choice or value that cannot work. problems: each by itself, where there are several."""

    problems: Sequence[str] = ()


class DataError(MixlinguaError):
    """A data file or store that is missing, malformed or too small; the message names file and line."""


class ModelError(MixlinguaError):
    """Weights or a tokenizer that cannot be found, read or trusted."""


class HubError(MixlinguaError):
    """Files that a hub does not give: the message says why, and what to do."""


class CheckpointError(MixlinguaError):
    """A checkpoint that cannot be read, or that belongs to another run set-up."""


class TrainingError(MixlinguaError):
    """Training that cannot go on, such as a loss that is no longer finite."""


class PrunedError(MixlinguaError):
    """A trial of a search for settings that is given up, since earlier ones were better at the same step."""


class StorageError(MixlinguaError):
    """A file that cannot be written, for want of space or of the right to."""


class Interrupted(SystemExit):
    """SIGINT or SIGTERM: the exit status is 128 and the signal's number. what_next: how to go on."""

    what_next = ""

    def __init__(self, number: int) -> None:
        super().__init__(128 + number)
        self.signal = signal.Signals(number)

    def __str__(self) -> str:
        return f"interrupted by {self.signal.name}"


def interruption_of(error: BaseException | None) -> Interrupted | None:
    """The interruption that an error is, or during which it was raised; None where there is none.

    A file that was being written, or a worker that got the signal too, may raise an error of its own meanwhile.
    """
    while error is not None and not isinstance(error, Interrupted):
        error = error.__context__
    return error


@contextmanager
def signals_interrupt() -> Iterator[None]:
    """While the body runs, SIGINT and SIGTERM raise Interrupted in the main thread.

    Not in a rank that another process started, which ends it by SIGTERM and says so itself.
    """
    if os.environ.get("LOCAL_RANK", "0") != "0":
        yield
        return
    before = {number: signal.signal(number, interrupt) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def interrupt(number: int, frame: object) -> None:
    """A signal handler: raises Interrupted."""
    raise Interrupted(number)


@contextmanager
def ends_with_its_reader() -> Iterator[None]:
    """While the body prints, a pipe that nobody reads any more, as after `| head -1`, ends the process quietly."""
    before = signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    try:
        yield
        sys.stdout.flush()
    finally:
        signal.signal(signal.SIGPIPE, before)


def suggest(name: str, choices: Iterable[str]) -> str:
    """A sentence naming the nearest of choices, with a leading space, or an empty string where none is near."""
    near = difflib.get_close_matches(name, list(choices), n=1, cutoff=0.6)
    return f" Did you mean '{near[0]}'?" if near else ""


def suggest_beside(path: Path) -> str:
    """`suggest` among the names beside a path, which itself is not there or not what is needed."""
    beside = path.parent.iterdir() if path.parent.is_dir() else ()
    return suggest(path.name, [entry.name for entry in beside if entry.name != path.name])


def raise_problems(problems: Sequence[str]) -> None:
    """Raise one ConfigError that lists every problem, numbered where there are several; return where there is none."""
    if problems:
        lines = [f"  {number}. {problem}" for number, problem in enumerate(problems, start=1)]
        several = "\n".join([f"{len(problems)} problems in the configuration:", *lines])
        error = ConfigError(problems[0] if len(problems) == 1 else several)
        error.problems = tuple(problems)
        raise error


def choice_problems(key: str, value: object, choices: Iterable[str]) -> list[str]:
    """What is wrong with a value that must be one of choices."""
    known = list(choices)
    if value in known:
        return []
    return [f"{key}={value}: it is one of {', '.join(known)}.{suggest(str(value), known)}"]


def check_choice(key: str, value: object, choices: Iterable[str]) -> None:
    """Raise ConfigError where a value is none of choices. key: as a user types it."""
    raise_problems(choice_problems(key, value, choices))


def whole_problems(key: str, value: object, least: int) -> list[str]:
    """What is wrong with a value that must be a whole number of at least `least`; True and False are no numbers."""
    if isinstance(value, int) and not isinstance(value, bool) and value >= least:
        return []
    given = repr(value) if isinstance(value, str) else value
    return [f"{key}={given}: a whole number of {least} or more is needed."]


def seed_problems(seed: object) -> list[str]:
    """What is wrong with a seed: numpy's own generator, which is seeded too, takes 32 bits."""
    if not whole_problems("seed", seed, 0) and isinstance(seed, int) and seed < 1 << 32:
        return []
    return [f"seed={seed!r}: a whole number from 0 to {(1 << 32) - 1} is needed."]


def check_whole(key: str, value: object, least: int) -> None:
    """Raise ConfigError where a value is no whole number of at least `least`. key: as a user types it."""
    raise_problems(whole_problems(key, value, least))


def differences(saved: Mapping[str, object], current: Mapping[str, object]) -> list[str]:
    """For each name whose value has changed, which value it had and has; None where one side lacks it."""
    return [
        f"{name} was {saved.get(name)!r}, is {current.get(name)!r}"
        for name in dict.fromkeys([*saved, *current])
        if saved.get(name) != current.get(name)
    ]


def problems_of(error: BaseException) -> Sequence[str]:
    """What is wrong according to an error, each problem by itself."""
    meant = user_error(error)
    return getattr(meant, "problems", ()) or (str(meant or error),)


def user_error(error: BaseException | None) -> MixlinguaError | None:
    """The error meant for the user in a chain of causes, or None; Hydra raises its own from that of a constructor."""
    for cause in causes(error):
        if isinstance(cause, MixlinguaError):
            return cause
    return next(filter(None, map(_denied, causes(error))), None)


def causes(error: BaseException | None, *, contexts: bool = False) -> Iterator[BaseException]:
    """An error, what it was raised from, and so on. contexts: where that is nothing, what was being handled then."""
    while error is not None:
        yield error
        error = error.__cause__ or (error.__context__ if contexts else None)


def first_line(error: BaseException) -> str:
    """The first line of what an error says, or its type where it says nothing."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)


_SOURCE = re.compile(r"\bdata\.sources\.[\w-]+")


@contextmanager
def source_named(key: str) -> Iterator[None]:
    """Errors of the body that name a data source, as data.sources.NAME, name `key` in its place.

    A reader knows its name alone. The same reader may stand in data.sources under another name, in
    data.validation_sources, or in a benchmark.
    """
    try:
        yield
    except Exception as error:
        told = user_error(error)
        if told is None or not _SOURCE.search(str(told)):
            raise
        raise type(told)(_SOURCE.sub(key, str(told))) from error


_DENIED = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.ENAMETOOLONG, errno.ELOOP)


def _denied(error: BaseException) -> StorageError | None:
    """What to tell of a file or folder that the system does not let this user have."""
    if not (isinstance(error, OSError) and error.errno in _DENIED and error.filename):
        return None
    return StorageError(
        f"{error.filename}: {error.strerror}. Choose a folder that you may write (hydra.run.dir for runs, paths.cache "
        "and the environment variable MIXLINGUA_CACHE for the cache), or change its rights."
    )


@contextmanager
def errors_on_stderr() -> Iterator[None]:
    """Turn errors meant for the user into one message and exit status 2; HYDRA_FULL_ERROR=1 keeps the traceback."""
    try:
        yield
    except KeyboardInterrupt:
        sys.exit(130)
    except Interrupted as interrupted:
        to_stderr(f"{interrupted}. {interrupted.what_next}".rstrip())
        sys.exit(interrupted.code)
    except Exception as error:
        known = user_error(error)
        if known is None or full_errors():
            raise
        to_stderr(f"error: {known}")
        sys.exit(2)


def to_stderr(line: str) -> None:
    """Write a line in one piece: print writes its end apart where Python's output is unbuffered, and another process
    that shares the stream may write in between."""
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


def full_errors() -> bool:
    """Whether tracebacks are asked for."""
    return os.environ.get("HYDRA_FULL_ERROR") == "1"
