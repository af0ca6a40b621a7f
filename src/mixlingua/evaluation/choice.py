"""Which languages of a benchmark a user chose."""

from collections.abc import Iterable, Sequence

from mixlingua.errors import ConfigError, suggest


def choose_languages(task: str, languages: Sequence[str] | None, known: Iterable[str]) -> tuple[str, ...]:
    """`languages`, or all that are known. Raises ConfigError for one that the benchmark does not have."""
    known = list(known)
    chosen = tuple(known if languages is None else languages)
    if not chosen:
        raise ConfigError(f"task {task}: no language; it has {', '.join(known)}.")
    for language in chosen:
        if language not in known:
            raise ConfigError(
                f"task {task}: no language '{language}'; it has {', '.join(known)}.{suggest(language, known)}"
            )
    return chosen
