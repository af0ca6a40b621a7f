"""Text can be read on every colour, in both schemes: WCAG 2.2 asks for a contrast of 4.5."""

import re
from pathlib import Path

import pytest

import mixlingua.report
from mixlingua.report.pairs import DIFFERENCE_COLOURS, DIFFERENCE_STEPS, VALUE_COLOURS, VALUE_STEPS

CSS = (Path(mixlingua.report.__file__).parent / "templates" / "style.css").read_text(encoding="utf-8")
STEPS = [*(f"v{step}" for step in range(VALUE_STEPS)), *(f"d{step}" for step in range(DIFFERENCE_STEPS))]


def colours(dark: bool) -> dict[str, str]:
    light, at_dark = CSS.split("@media (prefers-color-scheme: dark)", 1)
    parts = [light, at_dark.split("\n}\n", 1)[0]] if dark else [light]
    return {name: value for part in parts for name, value in re.findall(r"--([\w-]+): (#\w{6});", part)}


def deep(dark: bool) -> set[str]:
    """The steps whose text has the other colour."""
    light, at_dark = CSS.split("@media (prefers-color-scheme: dark)", 1)
    rules = [re.findall(r"\n *((?:\.[vd]\d+,? ?)+)\{ color: var\(--on-deep\)", part)[0] for part in (light, at_dark)]
    return {name for rule in (rules if dark else rules[:1]) for name in re.findall(r"\w+", rule)}


def luminance(colour: str) -> float:
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    darker, lighter = sorted((luminance(one), luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


def test_contrast_by_hand() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)


@pytest.mark.parametrize("dark", [False, True])
def test_every_text_has_enough_contrast(dark: bool) -> None:
    found = colours(dark)
    for name in ("ink", "soft", "blue", "orange", "green", "purple", "ochre", "teal"):
        assert contrast(found[name], found["paper"]) >= 4.5, name
    for name in STEPS:
        ink = found["on-deep"] if name in deep(dark) else found["ink"]
        assert contrast(ink, found[name]) >= 4.5, name


def test_png_files_have_the_colours_of_the_page() -> None:
    assert [colours(dark=False)[name] for name in STEPS] == [*VALUE_COLOURS, *DIFFERENCE_COLOURS]


@pytest.mark.parametrize("dark", [False, True])
def test_scales_go_one_way_and_differences_are_even(dark: bool) -> None:
    found = colours(dark)
    away = 1 if dark else -1  # from the paper
    values = [away * luminance(found[f"v{step}"]) for step in range(VALUE_STEPS)]
    assert values == sorted(values)
    middle = DIFFERENCE_STEPS // 2
    for side in (range(middle, -1, -1), range(middle, DIFFERENCE_STEPS)):
        part = [away * luminance(found[f"d{step}"]) for step in side]
        assert part == sorted(part)
