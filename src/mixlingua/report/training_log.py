"""What the CSV logger wrote while a run trained, as curves and shares."""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mixlingua.report.chart import Chart, Line, Point
from mixlingua.report.comparison_cells import spoken
from mixlingua.report.scale import linear

_SHOWN = 200  # dots of a line, at most: a longer one shows means of neighbouring steps
_LATEST, _LOSS, _VALIDATION = "train/loss", "train/loss_", "validation/loss"


@dataclass(frozen=True)
class TrainingLog:
    """losses: kind of batch -> (step, loss), steps from 1. validation: the same of held-out batches. batches, sources:
    the shares of all batches by kind and by source."""

    losses: Mapping[str, Sequence[Point]]
    validation: Sequence[Point]
    batches: Mapping[str, float]
    sources: Mapping[str, float]


def read_training_log(run_dir: Path) -> TrainingLog | None:
    """RUN/csv/metrics.csv; None where the run logged no loss there."""
    path = run_dir / "csv" / "metrics.csv"
    if not path.exists():
        return None
    with path.open(encoding="utf-8", newline="") as file:
        rows = [{name: value for name, value in row.items() if name and value} for row in csv.DictReader(file)]
    losses: dict[str, list[Point]] = {}
    shares: dict[str, dict[str, float]] = {"batches": {}, "sources": {}}
    validation = []
    for row in rows:
        for name, text in row.items():
            # Logged under the number of steps before it, and once more in each later row until another of its kind.
            if name.startswith(_LOSS) and text == row[_LATEST]:
                losses.setdefault(name.removeprefix(_LOSS), []).append((int(row["step"]) + 1, float(text)))
            elif name == _VALIDATION:
                validation.append((int(row["step"]) + 1, float(text)))
        latest = {name: float(text) for name, text in row.items() if name.split("/")[0] in shares}
        if latest:  # shares of all batches so far: the last line counts
            shares = {part: {name.split("/", 1)[1]: share for name, share in sorted(latest.items())
                             if name.startswith(f"{part}/")} for part in shares}  # fmt: skip
    return TrainingLog(dict(sorted(losses.items())), validation, **shares) if losses else None


def loss_chart(log: TrainingLog) -> Chart:
    """The loss of each kind of batch by step, as dots and their running mean."""
    lines, notes = [], []
    for kind, points in log.losses.items():
        dots, bundle = _thinned(points)
        width = max(1, len(dots) // 10)
        lines.append(Line(f"{spoken(kind)} batches", kind, _running_mean(dots, width), dots))
        first, last = lines[-1].points[0][1], lines[-1].points[-1][1]
        notes.append(f"{spoken(kind)} batches from {first:.2f} to {last:.2f}")
        if bundle > 1:
            notes[-1] += f" (a dot: the mean of {bundle} batches)"
    if log.validation:
        lines.append(Line("validation", "validation", log.validation, log.validation))
        notes.append(f"validation from {log.validation[0][1]:.2f} to {log.validation[-1][1]:.2f}")
    points = [point for line in lines for point in (*line.points, *line.dots)]
    return Chart(
        title="Training loss",
        summary=f"Running means, in nats: {'; '.join(notes)}.",
        x_label="step",
        y_label="loss, nats",
        x=linear((x for x, _ in points), from_zero=True),
        y=linear((y for _, y in points), from_zero=True),
        lines=lines,
    )


def _thinned(points: Sequence[Point]) -> tuple[list[Point], int]:
    """The means of so many neighbouring points that no more than _SHOWN remain, and how many those are."""
    size = -(-len(points) // _SHOWN)
    return [_mean(points[start : start + size]) for start in range(0, len(points), size)], size


def _running_mean(points: Sequence[Point], width: int) -> list[Point]:
    """Each point's x, with the mean of the y of up to `width` points on either side."""
    return [
        (x, _mean(points[max(0, place - width) : place + width + 1])[1]) for place, (x, _) in enumerate(points)
    ]  # fmt: skip


def _mean(points: Sequence[Point]) -> Point:
    return sum(x for x, _ in points) / len(points), sum(y for _, y in points) / len(points)
