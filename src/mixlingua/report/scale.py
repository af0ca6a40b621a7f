"""From values to places on an axis, with ticks at round numbers."""

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace

_NEAR = 1e-9
_ROOM = 7.0  # percent of an axis that a tick's text takes


@dataclass(frozen=True)
class Tick:
    """at: in percent of the axis, from its low end."""

    at: float
    text: str


@dataclass(frozen=True)
class Scale:
    """An axis from `low` to `high`; logarithmic ones place log(value + shift), and a shift lets them begin at 0."""

    low: float
    high: float
    marks: tuple[float, ...]
    logarithmic: bool = False
    shift: float = 0.0

    def at(self, value: float) -> float:
        """Where a value lies, in percent."""
        low, high, place = (self._placed(each) for each in (self.low, self.high, value))
        return 100 * (place - low) / (high - low)

    @property
    def ticks(self) -> list[Tick]:
        """Linear axes write all their marks with the same number of decimals."""
        digits = max(map(_decimals, self.marks))
        return [
            Tick(self.at(mark), _text(mark, _decimals(mark) if self.logarithmic else digits)) for mark in self.marks
        ]

    def _placed(self, value: float) -> float:
        return math.log(value + self.shift) if self.logarithmic else value


def linear(values: Iterable[float], *, from_zero: bool = False, marks: int = 5) -> Scale:
    """An axis that holds all values, ends at ticks, and has about `marks` of them."""
    low, high = _ends(values)
    low = min(low, 0.0) if from_zero else low
    if high - low < _NEAR:
        low, high = (0.0, high) if from_zero and high > 0 else (low - 0.5, high + 0.5)
    step = _round_step((high - low) / marks)
    first, last = math.floor(low / step + _NEAR), math.ceil(high / step - _NEAR)
    return Scale(first * step, last * step, tuple(number * step for number in range(first, last + 1)))


def logarithmic(values: Iterable[float]) -> Scale:
    """A logarithmic axis that holds all values, which are 0 or more, with ticks at powers of ten (and 0)."""
    low, high = _ends(values)
    shift = 1.0 if low < 1 else 0.0
    first = math.floor(math.log10(low) + _NEAR) if low >= 1 else 0
    last = max(math.ceil(math.log10(max(high, 1.0)) - _NEAR), first + 1)
    powers = tuple(10.0**power for power in range(first, last + 1))
    ends = (0.0, *powers) if shift else powers
    top = max(high, ends[1])
    return Scale(ends[0], top, tuple(mark for mark in ends if mark <= top), logarithmic=True, shift=shift)


def of_settings(values: Iterable[float]) -> Scale:
    """An axis for the two or more values that a setting was given, with a tick at each that has room for one;
    logarithmic where they span a factor of twenty or more."""
    tried = sorted(set(values))
    scale = Scale(tried[0], tried[-1], (), logarithmic=tried[0] > 0 and tried[-1] / tried[0] >= 20)
    marks = [tried[0]]
    for value in tried[1:]:
        if scale.at(value) - scale.at(marks[-1]) >= _ROOM:
            marks.append(value)
    return replace(scale, marks=tuple(marks))


def _ends(values: Iterable[float]) -> tuple[float, float]:
    held = list(values)
    return min(held), max(held)


def _round_step(step: float) -> float:
    """The next of 1, 2, 5 times a power of ten."""
    power = 10.0 ** math.floor(math.log10(step))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= step * (1 - _NEAR))


def _decimals(value: float) -> int:
    """Decimals that a value needs, of at most six."""
    return next((digits for digits in range(6) if abs(value - round(value, digits)) < _NEAR), 6)


def _text(value: float, digits: int) -> str:
    for size, letter in ((1e9, "B"), (1e6, "M")):
        if abs(value) >= size:
            return f"{value / size:.3g}{letter}"
    return f"{value:g}" if 0 < abs(value) < 1e-3 else f"{value:,.{digits}f}"
