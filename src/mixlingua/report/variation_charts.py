"""Scores over one number in which set-ups differ: the share of monolingual batches, the size of model or data."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from mixlingua.evaluation.comparison_rows import AVERAGE, ComparisonRow
from mixlingua.evaluation.question_values import RANK_DISTANCE
from mixlingua.evaluation.settings import SETTINGS
from mixlingua.report.chart import Chart, Line
from mixlingua.report.comparison_cells import figure_name, interval, number, percent, spoken
from mixlingua.report.scale import linear, of_settings


@dataclass(frozen=True)
class Variation:
    """Set-ups that differ in one number. values: system -> the number. fixed: what they share where others differ.
    along: settings that differ together with it, so that a change may be theirs."""

    variable: str
    values: Mapping[str, float]
    fixed: str
    along: Sequence[str]


def variation_charts(variation: Variation, rows: Sequence[ComparisonRow], confidence: float) -> Iterator[Chart]:
    """For each task: the main metric by setting, and rank distance."""
    own = [row for row in rows if row.scope == AVERAGE and row.system in variation.values]
    for task in dict.fromkeys(row.task for row in own):
        for ranks in (False, True):
            found = [row for row in own if row.task == task and (row.metric == RANK_DISTANCE) == ranks]
            if found:
                yield _chart(variation, task, found, confidence)


def _chart(variation: Variation, task: str, rows: Sequence[ComparisonRow], confidence: float) -> Chart:
    settings = [setting for setting in SETTINGS if any(row.setting == setting for row in rows)]
    members = {
        setting: sorted((row for row in rows if row.setting == setting), key=lambda row: variation.values[row.system])
        for setting in settings
    }
    lines = []
    for setting, own in members.items():
        points = [(variation.values[row.system], row.value) for row in own]
        ends = [(variation.values[row.system], *row.seeds_interval) for row in own if row.seeds_interval]
        lines.append(Line(spoken(setting), setting, points, points, ends))
    heights = [y for line in lines for _, y in line.points] + [
        y for line in lines for bar in line.bars for y in bar[1:]
    ]
    first = rows[0]
    metric = figure_name(first) if len(settings) == 1 else figure_name(first).partition(" ")[2]
    title = f"{task}: {metric} by {variation.variable}" + (f" ({variation.fixed})" if variation.fixed else "")
    columns, table = _table(variation, members)
    return Chart(
        title=title,
        summary=_summary(variation, rows, confidence),
        x_label=variation.variable,
        y_label=metric,
        x=of_settings(variation.values.values()),
        y=linear(heights),
        lines=lines,
        columns=columns,
        rows=table,
    )


def _table(variation: Variation, members: Mapping[str, Sequence[ComparisonRow]]) -> tuple[list[str], list[list[str]]]:
    """Headings, and a row for each set-up: the number, then mean and interval over seeds in each setting."""
    columns = [variation.variable]
    cells = {system: [f"{value:,.6g}"] for system, value in variation.values.items()}
    for own in members.values():
        columns += [figure_name(own[0]), "over seeds"]
        for row in own:
            cells[row.system] += [number(row, row.value), interval(row, row.seeds_interval)]
    return columns, [cells[system] for system in sorted(cells, key=lambda system: variation.values[system])]


def _summary(variation: Variation, rows: Sequence[ComparisonRow], confidence: float) -> str:
    replicated = sum(row.seeds_interval is not None for row in rows)
    parts = [f"Means over seeds; bars: {percent(confidence)} intervals over seeds" if replicated
             else "One seed each, so no interval over seeds"]  # fmt: skip
    if 0 < replicated < len(rows):
        parts.append("none where there is one seed")
    text = ", ".join(parts) + "."
    if variation.along:
        text += f" Along with it differ: {', '.join(variation.along)}."
    return text
