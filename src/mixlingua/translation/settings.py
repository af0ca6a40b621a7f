"""What is translated into what, and how: the configuration keys `translation.*`."""

from collections.abc import Sequence
from dataclasses import dataclass

from mixlingua.errors import ConfigError
from mixlingua.languages import check_language
from mixlingua.translation.gate import Gate


@dataclass(frozen=True)
class Translation:
    """languages: what every row shall have; a row's own texts are kept, what it lacks is translated from `source`.

    num_beams: hypotheses of the beam search, 1 for greedy search. piece_tokens: a text of more tokens is cut between
    its sentences into pieces of at most so many (a sentence stays whole). max_growth: tokens of a translation for each
    token of its source, at most. token_budget: source tokens of a batch, padding included. Raises ConfigError for
    values that cannot work.
    """

    source: str
    languages: Sequence[str]
    num_beams: int
    piece_tokens: int
    max_growth: float
    token_budget: int
    gate: Gate

    def __post_init__(self) -> None:
        check_language(self.source, "translation.source")
        for language in self.languages:
            check_language(language, "translation.languages")
        twice = sorted({language for language in self.languages if list(self.languages).count(language) > 1})
        if twice:
            raise ConfigError(f"translation.languages: {', '.join(twice)} given more than once.")
        if not set(self.languages) - {self.source}:
            raise ConfigError(
                f"translation.languages={list(self.languages)}: nothing to translate '{self.source}' into; name other "
                "languages, such as translation.languages=[de,ar]."
            )
        for key in ("num_beams", "piece_tokens", "token_budget"):
            value = getattr(self, key)
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise ConfigError(f"translation.{key}={value}: a whole number of 1 or more is needed.")
        if self.max_growth < 1:
            raise ConfigError(
                f"translation.max_growth={self.max_growth}: 1 or more; below it translations are cut off."
            )
