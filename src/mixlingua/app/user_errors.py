"""Which part of an error is meant for the user."""

import re
from collections.abc import Iterator

from mixlingua import errors
from mixlingua.errors import MixlinguaError

# How Python ends the traceback of one of the project's errors, which is all that comes from another process.
_LAST_IN_TRACEBACK = re.compile(r".*^mixlingua\.errors\.(\w+): (.+)", re.DOTALL | re.MULTILINE)


def user_error(error: BaseException | None) -> MixlinguaError | None:
    """The error meant for the user in a chain of causes, or None.

    Hydra wraps those of constructors; those of a spawned process and of a DataLoader's worker arrive as the text of
    their traceback.
    """
    for cause in _chain(error):
        if found := _LAST_IN_TRACEBACK.match(str(cause)):
            kind = getattr(errors, found[1], MixlinguaError)
            return kind(found[2].strip())
        if isinstance(cause, MixlinguaError):
            return cause
    return None


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__
