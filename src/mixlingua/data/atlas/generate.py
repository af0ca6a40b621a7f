"""How the facts of atlas become texts: the rows of training, and the queries and passages of evaluation.

Facts are split by country, so that no country or language of the evaluation is trained on.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version

from mixlingua.data.atlas.facts import LANGUAGES, Fact, load_facts, load_templates
from mixlingua.data.rows import PairRow
from mixlingua.errors import DataError
from mixlingua.files import content_hash

# A hash of the evaluation texts, so that scores can be compared. Texts that hash to something else are refused.
REVISION = "2d59a3bf831f"
LICENCE = "names and facts: CLDR, Unicode-3.0; sentences: Apache-2.0"

_EVALUATION_SHARE = 0.2


@dataclass(frozen=True, slots=True)
class AtlasEvaluation:
    """Questions and candidate passages that share no country, city, language or currency asked about with training.

    queries: language -> query id -> text; passages: language -> passage id -> text; every language has every id.
    relevant: query id -> id of the one passage that answers it, in each language.
    """

    queries: dict[str, dict[str, str]]
    passages: dict[str, dict[str, str]]
    relevant: dict[str, str]


class AtlasReader:
    """The training split of atlas as rows in eleven languages: every phrasing of the question of every fact."""

    name = "atlas"

    def fingerprint(self) -> str:
        """A hash of the rows' text."""
        return content_hash(*(repr(row) for row in self.rows()))

    def rows(self) -> Iterator[PairRow]:
        """One row per fact and phrasing of its question; rows of a fact share its passage. split_key is its country."""
        for fact in split_facts()[0]:
            passages = _passages(fact)
            for phrasing in range(_num_phrasings("questions", fact.kind)):
                yield PairRow(
                    id=f"{fact.id}/{phrasing}",
                    queries=_questions(fact, phrasing),
                    passages=passages,
                    passage_id=fact.id,
                    split_key=fact.home,
                )


@cache
def evaluation_split() -> AtlasEvaluation:
    """The evaluation split: one question, in a phrasing drawn by the fact's id, per fact.

    Raises DataError where the texts differ from those of REVISION, which another version of babel brings about.
    """
    evaluation = AtlasEvaluation({lang: {} for lang in LANGUAGES}, {lang: {} for lang in LANGUAGES}, {})
    for fact in split_facts()[1]:
        phrasing = _draw("question", fact.id) % _num_phrasings("questions", fact.kind)
        query_id = f"{fact.id}/{phrasing}"
        evaluation.relevant[query_id] = fact.id
        for language, text in _questions(fact, phrasing).items():
            evaluation.queries[language][query_id] = text
        for language, text in _passages(fact).items():
            evaluation.passages[language][fact.id] = text
    revision = content_hash(repr(evaluation))[:12]
    if revision != REVISION:
        raise DataError(
            f"atlas: the evaluation texts have revision '{revision}', not '{REVISION}', with babel {version('babel')}. "
            "Run `pip install -r requirements.txt` for the version that the texts are made from."
        )
    return evaluation


@cache
def split_facts() -> tuple[tuple[Fact, ...], tuple[Fact, ...]]:
    """(training, evaluation): facts go by country, and no subject of an evaluation fact occurs in a training fact."""
    training = tuple(fact for fact in load_facts() if not _is_held_out(fact.home))
    mentioned = {entity for fact in training for entity in (fact.subject, fact.answer)}
    held_out = (fact for fact in load_facts() if _is_held_out(fact.home))
    return training, tuple(fact for fact in held_out if fact.subject not in mentioned)


def _is_held_out(home: str) -> bool:
    return _draw("split", home) < _EVALUATION_SHARE * 2**64


def _draw(purpose: str, key: str) -> int:
    """A number in [0, 2**64) that depends on purpose and key alone."""
    return int.from_bytes(hashlib.sha256(f"atlas/{purpose}/{key}".encode()).digest()[:8], "big")


def _num_phrasings(side: str, kind: str) -> int:
    return len(getattr(load_templates()[LANGUAGES[0]], side)[kind])


def _questions(fact: Fact, phrasing: int) -> dict[str, str]:
    return {
        language: render(templates.questions[fact.kind][phrasing], fact.slots[language], language)
        for language, templates in load_templates().items()
    }


def _passages(fact: Fact) -> dict[str, str]:
    phrasing = _draw("passage", fact.id) % _num_phrasings("passages", fact.kind)
    return {
        language: render(templates.passages[fact.kind][phrasing], fact.slots[language], language)
        for language, templates in load_templates().items()
    }


def render(template: str, slots: dict[str, str], language: str) -> str:
    """A template with its slots filled and its first letter in upper case."""
    text = template.format(**slots)
    first = "İ" if language == "tr" and text[0] == "i" else text[0].upper()
    return first + text[1:]
