"""A line chart as the paths and places that a template needs; text stays text, whatever the width of the screen."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from mixlingua.report.scale import Scale, Tick

Point = tuple[float, float]
_SIDE = 1000  # units of the stretched coordinate system that paths are drawn in


@dataclass(frozen=True)
class Line:
    """points: joined. dots: marked. bars: (x, low, high), the ends of intervals. key: which of the line styles."""

    name: str
    key: str
    points: Sequence[Point]
    dots: Sequence[Point] = ()
    bars: Sequence[tuple[float, float, float]] = ()


@dataclass(frozen=True)
class Chart:
    """summary: what a reader who does not see it should know. columns, rows: its figures as a table."""

    title: str
    summary: str
    x_label: str
    y_label: str
    x: Scale
    y: Scale
    lines: Sequence[Line]
    columns: Sequence[str] = ()
    rows: Sequence[Sequence[str]] = field(default=())

    @property
    def x_ticks(self) -> list[Tick]:
        return self.x.ticks

    @property
    def y_ticks(self) -> list[Tick]:
        return [Tick(100 - tick.at, tick.text) for tick in self.y.ticks]  # from the top, as screens count

    def path(self, line: Line) -> str:
        """The line through its points."""
        return "M" + "L".join(self._places(line.points))

    def dots(self, line: Line) -> str:
        """A stroke without length at each dot: with round caps, a circle that no stretching distorts."""
        return "".join(f"M{place}h0" for place in self._places(line.dots))

    def bars(self, line: Line) -> str:
        """A stroke from the lower to the upper end of each interval."""
        ends = [self._places(((x, low), (x, high))) for x, low, high in line.bars]
        return "".join(f"M{low}L{high}" for low, high in ends)

    def _places(self, points: Iterable[Point]) -> list[str]:
        scale = _SIDE / 100
        return [f"{scale * self.x.at(x):.1f} {_SIDE - scale * self.y.at(y):.1f}" for x, y in points]
