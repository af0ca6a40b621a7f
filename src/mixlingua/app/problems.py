"""Several configuration problems as one error."""

from collections.abc import Sequence

from mixlingua.errors import ConfigError


def raise_problems(problems: Sequence[str]) -> None:
    """Raise one ConfigError that lists every problem, numbered where there are several; return where there is none."""
    if len(problems) == 1:
        raise ConfigError(problems[0])
    if problems:
        lines = (f"  {number}. {problem}" for number, problem in enumerate(problems, start=1))
        raise ConfigError(f"{len(problems)} problems in the configuration:\n" + "\n".join(lines))
