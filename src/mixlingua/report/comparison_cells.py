"""The figures of a comparison as text."""

from mixlingua.evaluation.comparison_rows import LOWER_IS_BETTER, ComparisonRow, Difference, Interval
from mixlingua.evaluation.question_values import RANK_DISTANCE
from mixlingua.evaluation.settings import SETTINGS

SHORT = dict(zip(SETTINGS, ("Mo.", "Cr.", "Mul."), strict=True))


def plain_name(metric: str) -> str:
    """Such as "mAP" for "map" and "recall@10" for "recall_at_10"."""
    return {"map": "mAP"}.get(metric, metric.replace("_at_", "@").replace("_", " "))


def spoken(name: str) -> str:
    """The name of a setting or of a kind of batch as prose has it."""
    return {"crosslingual": "cross-lingual"}.get(name, name)


def metric_name(row: ComparisonRow) -> str:
    return f"{plain_name(row.metric)} {'↓' if row.metric in LOWER_IS_BETTER else '↑'}"


def figure_name(row: ComparisonRow) -> str:
    return metric_name(row) if row.metric == RANK_DISTANCE else f"{SHORT[row.setting]} {metric_name(row)}"


def mean(row: ComparisonRow, confidence: float) -> str:
    ends = row.seeds_interval
    spread = f" ±{number(row, (ends[1] - ends[0]) / 2)}" if ends else ""
    return f"{number(row, row.value)}{spread}{star(row, confidence)}"


def marked(row: ComparisonRow | None, confidence: float) -> str:
    return number(row, row.value) + star(row, confidence) if row else "-"


def star(row: ComparisonRow, confidence: float) -> str:
    return "*" if row.significant(confidence) else ""


def number(row: ComparisonRow, value: float) -> str:
    return f"{value:,.1f}" if row.metric == RANK_DISTANCE else f"{value:.3f}"


def signed(row: ComparisonRow, value: float) -> str:
    text = f"{value:+,.1f}" if row.metric == RANK_DISTANCE else f"{value:+.4f}"
    return text if any(digit in text for digit in "123456789") else text[1:]  # no "-0.0000"


def interval(row: ComparisonRow, ends: Interval | None, *, with_sign: bool = False) -> str:
    if ends is None:
        return "-"
    form = signed if with_sign else number
    return f"{form(row, ends[0])} to {form(row, ends[1])}"


def evidence(difference: Difference) -> list[str]:
    effect = "-" if difference.effect_size is None else f"{difference.effect_size:+.2f}"
    return [effect, f"{difference.p_value:.4f}", f"{difference.p_holm:.4f}"]


def percent(confidence: float) -> str:
    return f"{100 * confidence:g}%"
