"""Saying a warning once a run, however often what it is about is built: for the preflight, for an index, for itself."""

import logging


class SaidOnce(logging.Filter):
    """Lets each warning of a handler pass once; Hydra configures the handlers anew for every job of a sweep."""

    def __init__(self) -> None:
        super().__init__()
        self._said: set[tuple[str, str]] = set()

    def filter(self, record: logging.LogRecord) -> bool:
        """False for a warning that was said before; what is no warning, such as progress, always passes."""
        if record.levelno != logging.WARNING:
            return True
        said = (record.name, record.getMessage())
        new = said not in self._said
        self._said.add(said)
        return new
