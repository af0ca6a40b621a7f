"""Axes: what is placed where, and which ticks a reader sees."""

import pytest

from mixlingua.report.figures import Scale, linear, logarithmic, of_settings


def texts(scale: Scale) -> list[str]:
    return [tick.text for tick in scale.ticks]


def test_linear_axes_end_at_round_ticks() -> None:
    scale = linear([0.13, 2.14], from_zero=True)
    assert texts(scale) == ["0.0", "0.5", "1.0", "1.5", "2.0", "2.5"]
    assert [tick.at for tick in scale.ticks] == pytest.approx([0, 20, 40, 60, 80, 100])
    assert scale.at(0.5) == pytest.approx(20)
    assert texts(linear([0.61, 0.66])) == ["0.61", "0.62", "0.63", "0.64", "0.65", "0.66"]
    assert texts(linear([1, 40], from_zero=True)) == ["0", "10", "20", "30", "40"]


def test_linear_axes_of_one_value() -> None:
    assert linear([0.0], from_zero=True).at(0.0) == pytest.approx(50)
    assert linear([3.0]).at(3.0) == pytest.approx(50)
    assert linear([3.0], from_zero=True).at(3.0) == pytest.approx(100)


def test_logarithmic_axes_have_powers_of_ten() -> None:
    scale = logarithmic([10, 2802])
    assert texts(scale) == ["10", "100", "1,000"]
    assert scale.at(10) == pytest.approx(0)
    assert scale.at(2802) == pytest.approx(100)
    assert scale.at(100) == pytest.approx(100 / 2.4475, abs=0.01)  # log10(280.2) = 2.4475 decades


def test_logarithmic_axes_can_begin_at_zero() -> None:
    scale = logarithmic([0, 99])
    assert texts(scale) == ["0", "1", "10"]
    assert scale.at(0) == pytest.approx(0)
    assert scale.at(9) == pytest.approx(50)  # log(10) of log(100)
    assert scale.at(99) == pytest.approx(100)
    assert logarithmic([0, 0]).at(0) == pytest.approx(0)
    assert logarithmic([1, 1]).at(1) == pytest.approx(0)


def test_settings_have_a_tick_each_where_there_is_room() -> None:
    assert texts(of_settings([0, 0.25, 0.5, 1])) == ["0.00", "0.25", "0.50", "1.00"]
    assert texts(of_settings([0.5, 0, 0.01, 0.5])) == ["0.0", "0.5"]
    sizes = of_settings([117_653_760, 278_043_648, 559_890_432])
    assert texts(sizes) == ["118M", "278M", "560M"]
    assert not sizes.logarithmic
    assert texts(of_settings([5e8, 7.25e9])) == ["500M", "7.25B"]
    rates = of_settings([1e-5, 5e-5, 1e-3])
    assert rates.logarithmic
    assert texts(rates) == ["1e-05", "5e-05", "0.001"]
