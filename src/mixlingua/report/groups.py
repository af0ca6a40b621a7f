"""Languages and pairs in groups: by resources, by script and by family."""

from collections.abc import Iterable, Iterator
from typing import Protocol

from mixlingua.evaluation.averages import Average, mean_of_rows
from mixlingua.evaluation.results import ResultRow
from mixlingua.evaluation.settings import ALL_LANGUAGES
from mixlingua.languages import family, resource_class, script

HIGH, MID, LOW = "high-resource (class 4-5)", "mid-resource (class 3)", "low-resource (class 0-2)"
SAME_SCRIPT, SCRIPTS = "same script", "different scripts"
SAME_FAMILY, FAMILIES = "same family", "different families"
KINDS = ((HIGH, MID, LOW), (SAME_SCRIPT, SCRIPTS), (SAME_FAMILY, FAMILIES))  # in the order of tables


class HasLanguages(Protocol):
    """A row of results, or of a comparison."""

    @property
    def setting(self) -> str: ...
    @property
    def query_language(self) -> str: ...
    @property
    def passage_language(self) -> str: ...


def groups_of(row: HasLanguages) -> Iterator[str]:
    """The groups of a row, at most one of each kind.

    Resources: those of its language with least; in the multilingual setting, whose pool holds every language, of the
    query's. Script and family: of cross-lingual pairs, whether they are the same. A row with a language of which it is
    not known belongs to no group of that kind.
    """
    languages = [row.query_language]
    if row.setting == "crosslingual":
        languages.append(row.passage_language)
    classes = [resource_class(language) for language in languages]
    if None not in classes:
        least = min(known for known in classes if known is not None)
        yield HIGH if least > 3 else MID if least == 3 else LOW
    if row.setting == "crosslingual":
        for of, same, different in ((script, SAME_SCRIPT, SCRIPTS), (family, SAME_FAMILY, FAMILIES)):
            values = {of(language) for language in languages}
            if None not in values:
                yield same if len(values) == 1 else different


def groups_among(rows: Iterable[HasLanguages]) -> list[str]:
    """The groups that rows fall into, in the order of tables; a kind that does not tell any two rows apart has none."""
    found = {group for row in rows for group in groups_of(row)}
    kinds = ([group for group in kind if group in found] for kind in KINDS)
    return [group for kind in kinds if len(kind) > 1 for group in kind]


def unknown_languages(rows: Iterable[HasLanguages]) -> list[str]:
    """The languages of rows whose class, script or family is not known, sorted."""
    named = {language for row in rows for language in (row.query_language, row.passage_language)} - {ALL_LANGUAGES}
    return sorted(code for code in named if None in (resource_class(code), script(code), family(code)))


def group_means(rows: Iterable[ResultRow], average: Average) -> dict[tuple[str, str], float]:
    """(setting, group) -> the mean over the languages or pairs of the group, of the rows of one task and metric."""
    parts: dict[tuple[str, str], list[ResultRow]] = {}
    for row in rows:
        for group in groups_of(row):
            parts.setdefault((row.setting, group), []).append(row)
    return {key: mean_of_rows(part, average) for key, part in parts.items()}
