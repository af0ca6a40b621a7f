"""Groups of languages by their resources, scripts and families: the groups of a row, their means, and their tables."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Protocol

from mixlingua.evaluation.results import ALL_LANGUAGES, SETTINGS, Average, ResultRow, mean_of_rows
from mixlingua.languages import family, resource_class, script
from mixlingua.report.plain_table import CHANGE, PlainTable, figure_text, plain_name

HIGH, MID, LOW = "high-resource (class 4-5)", "mid-resource (class 3)", "low-resource (class 0-2)"
SAME_SCRIPT, SCRIPTS = "same script", "different scripts"
SAME_FAMILY, FAMILIES = "same family", "different families"
KINDS = ((HIGH, MID, LOW), (SAME_SCRIPT, SCRIPTS), (SAME_FAMILY, FAMILIES))  # in the order of tables
_HEADINGS = dict(zip(SETTINGS, ("mono", "cross", "multi"), strict=True))


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
    classes = [known for language in languages if (known := resource_class(language)) is not None]
    if len(classes) == len(languages):
        yield HIGH if min(classes) > 3 else MID if min(classes) == 3 else LOW
    if row.setting == "crosslingual":
        for of, same, different in ((script, SAME_SCRIPT, SCRIPTS), (family, SAME_FAMILY, FAMILIES)):
            values = {of(language) for language in languages}
            if None not in values:
                yield same if len(values) == 1 else different


def languages_of(rows: Iterable[HasLanguages]) -> list[str]:
    """The languages of queries and of passages, sorted."""
    return sorted({code for row in rows for code in (row.query_language, row.passage_language)} - {ALL_LANGUAGES})


def groups_among(rows: Iterable[HasLanguages]) -> list[str]:
    """The groups that rows fall into, in the order of tables; a kind that does not tell any two rows apart has none."""
    present = {group for row in rows for group in groups_of(row)}
    kinds = ([group for group in kind if group in present] for kind in KINDS)
    return [group for kind in kinds if len(kind) > 1 for group in kind]


def groups_note(rows: Iterable[HasLanguages]) -> str:
    """How rows are counted, and their languages whose class, script or family is not known."""
    unknown = [code for code in languages_of(rows) if None in (resource_class(code), script(code), family(code))]
    text = "A pair counts by its language with fewer resources (Joshi et al. 2020)."
    return text + (f" Not grouped, because unknown: {', '.join(unknown)}." if unknown else "")


def group_means(rows: Iterable[ResultRow], average: Average) -> dict[tuple[str, str], float]:
    """(setting, group) -> the mean over the languages or pairs of the group, of the rows of one task and metric."""
    by_group: dict[tuple[str, str], list[ResultRow]] = {}
    for row in rows:
        for group in groups_of(row):
            by_group.setdefault((row.setting, group), []).append(row)
    return {key: mean_of_rows(members, average) for key, members in by_group.items()}


def group_tables(
    before: Sequence[ResultRow] | None, after: Sequence[ResultRow], main_metrics: Mapping[str, str], average: Average
) -> list[PlainTable]:
    """The main metric of each task whose languages fall into several groups.

    before: rows of the untrained model, to show the change. main_metrics: by task.
    """
    tables = []
    for task, metric in main_metrics.items():
        old_rows, rows = (
            [row for row in stage if (row.task, row.metric) == (task, metric)] for stage in (before or (), after)
        )
        if not (groups := groups_among(rows)):
            continue
        old, new = group_means(old_rows, average), group_means(rows, average)
        columns: list[str] = []
        lines = [[group] for group in groups]
        for setting in (name for name in SETTINGS if any(row.setting == name for row in rows)):
            columns += [_HEADINGS[setting], *([CHANGE] if old_rows else [])]
            for line in lines:
                then, now = (means.get((setting, line[0])) for means in (old, new))
                line.append("" if now is None else f"{now:.3f}")
                if old_rows:
                    line.append("" if now is None or then is None else figure_text(metric, now - then, sign="+"))
        title = f"{task}: {plain_name(metric)} by groups of languages"
        name = f"groups-{task.replace('_', '-')}"
        tables.append(PlainTable(name, title, ["", *columns], lines, labels=1, note=groups_note(rows)))
    return tables
