"""Which translations are good enough to train on, and why the others are not."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from mixlingua.errors import ConfigError
from mixlingua.translation.lengths import length_deviation, length_ratio
from mixlingua.translation.loops import most_repeats
from mixlingua.translation.pieces import joined
from mixlingua.translation.scripts import copied_words, script_share
from mixlingua.translation.translator import Translated

# Why a text is rejected, in the order in which it is asked; each is asked of what the ones before let pass.
REASONS = ("too_long", "empty", "cut_off", "loop", "copied", "script", "length", "round_trip")


class Verdict(NamedTuple):
    """text: the translation, also of a rejected text; reason: one of REASONS, None where it is accepted; value: the
    figure that decided, where there is one."""

    text: str
    reason: str | None = None
    value: float | None = None


@dataclass(frozen=True)
class Gate:
    """What translations must keep to; docs/translation.md explains each bound. Raises ConfigError for bounds that
    cannot be.

    max_repeats: times that a unit may stand in a row, where the source has no longer row; max_copied_words: a text of
    more words must not consist of the source's; min_script_share: of letters in the language's script;
    max_length_deviation: in standard deviations (`length_deviation`); min_round_trip: chrF of the text translated back,
    None: not translated back.
    """

    max_repeats: int
    max_copied_words: int
    min_script_share: float
    max_length_deviation: float
    min_round_trip: float | None

    def __post_init__(self) -> None:
        for key, least in (("max_repeats", 1), ("max_copied_words", 0)):
            value = getattr(self, key)
            if not isinstance(value, int) or isinstance(value, bool) or value < least:
                raise ConfigError(f"translation.gate.{key}={value}: a whole number of {least} or more is needed.")
        if not 0 <= self.min_script_share <= 1:
            raise ConfigError(f"translation.gate.min_script_share={self.min_script_share}: a share is within [0, 1].")
        if self.max_length_deviation <= 0:
            raise ConfigError(
                f"translation.gate.max_length_deviation={self.max_length_deviation}: more than 0 standard deviations."
            )
        if self.min_round_trip is not None and not 0 <= self.min_round_trip <= 100:
            raise ConfigError(f"translation.gate.min_round_trip={self.min_round_trip}: chrF is within [0, 100].")

    def judge(
        self, sources: Mapping[int, str], pieces: Mapping[int, Sequence[tuple[str, Translated | None]]], language: str
    ) -> tuple[dict[int, Verdict], float | None]:
        """A verdict for each text by its position, and the length ratio that they were judged by.

        pieces: the source and the translation of each piece of a text, None where the source was too long. The length
        ratio is the median of this language's texts that everything before lets pass; None where there are none.
        """
        verdicts = {position: self._alone(sources[position], pieces[position], language) for position in pieces}
        passed = [position for position, verdict in verdicts.items() if verdict.reason is None]
        ratio = length_ratio((sources[position], verdicts[position].text) for position in passed)
        if ratio is not None:
            for position in passed:
                deviation = length_deviation(sources[position], verdicts[position].text, ratio)
                if abs(deviation) > self.max_length_deviation:
                    verdicts[position] = Verdict(verdicts[position].text, "length", deviation)
        return verdicts, ratio

    def _alone(self, source: str, pieces: Sequence[tuple[str, Translated | None]], language: str) -> Verdict:
        """What can be said of a text without the others."""
        found = [translated for _, translated in pieces if translated is not None]
        text = joined([translated.text for translated in found], language)
        if len(found) < len(pieces):
            return Verdict(text, "too_long")
        if not all(translated.text.strip() for translated in found):
            return Verdict(text, "empty")
        if not all(translated.finished for translated in found):
            return Verdict(text, "cut_off")
        for part, translated in zip((part for part, _ in pieces), found, strict=True):
            repeats = most_repeats(translated.text, self.max_repeats)
            if repeats and repeats > most_repeats(part, self.max_repeats):
                return Verdict(text, "loop", repeats)
        if (copied := copied_words(text, source)) > self.max_copied_words:
            return Verdict(text, "copied", copied)
        if (share := script_share(text, source, language)) < self.min_script_share:
            return Verdict(text, "script", share)
        return Verdict(text)
