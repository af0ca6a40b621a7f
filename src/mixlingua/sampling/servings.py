"""Which source can serve which kind of batch, in which language: decided, and checked, before training."""

from collections.abc import Sequence
from dataclasses import dataclass

from mixlingua.errors import ConfigError
from mixlingua.sampling.serving import Serving
from mixlingua.sampling.source import PairSource
from mixlingua.sampling.source_servings import SourceServings
from mixlingua.sampling.strategies import Kind, Strategy


@dataclass(frozen=True)
class Servings:
    """Everything that the sources can serve.

    sizes: rows of each source with one training language or more; notes: decisions that a user should know of.
    """

    all: tuple[Serving, ...]
    sizes: tuple[int, ...]
    notes: tuple[str, ...]


def find_servings(
    sources: Sequence[PairSource], strategy: Strategy, languages: Sequence[str], batch_size: int
) -> Servings:
    """What each source serves under a strategy.

    A language with too few usable rows in a source is left out of that source's monolingual batches, and a pair of
    languages of its single-pair and balanced cross-lingual batches, with a note.
    Raises ConfigError, with all problems at once, where a source cannot fill any batch of a kind that it would have to
    serve, or a kind has no source.
    """
    servings: list[Serving] = []
    sizes: list[int] = []
    notes: list[str] = []
    problems: list[str] = []
    for position, source in enumerate(sources):
        served = SourceServings(position, source, strategy, languages, batch_size)
        servings += served.servings
        notes += served.notes
        problems += served.problems
        sizes.append(served.size)
    kinds_to_fill = {serving.kind for serving in servings}
    if not problems:
        problems = [_no_source(kind, strategy, languages) for kind in strategy.kinds if kind not in kinds_to_fill]
    if problems:
        raise ConfigError("\n".join(problems))
    present = {language for source in sources for language in source.languages}
    absent = [language for language in languages if language not in present]
    notes += [f"{language}: no source has it; it is not trained on" for language in absent]
    return Servings(tuple(servings), tuple(sizes), tuple(notes))


def _no_source(kind: Kind, strategy: Strategy, languages: Sequence[str]) -> str:
    trained = ", ".join(languages)
    if kind == "english":
        return (
            f"sampler={strategy.name}: needs rows in en, and the training languages that the sources have do not "
            f"include it (training languages: {trained}). Train on en too, or use another sampler."
        )
    return (
        f"sampler={strategy.name}: {kind} batches need a source with two or more of the training languages "
        f"({trained}), and no source has that. Train on more languages, add a parallel source, or use "
        "sampler=monolingual."
    )
