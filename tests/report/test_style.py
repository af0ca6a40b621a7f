"""Text can be read on every colour, in both schemes: WCAG 2.2 asks for a contrast of 4.5."""

import re
from pathlib import Path

import pytest

import mixlingua.report
from mixlingua.report.figures import COLOURS
from mixlingua.report.pairs import DEEP, DIFFERENCE_COLOURS, VALUE_COLOURS

CSS = (Path(mixlingua.report.__file__).parent / "templates" / "style.css").read_text(encoding="utf-8")
STEPS = {letter: [f"{letter}{step}" for step in range(len(colours))]
         for letter, colours in (("v", VALUE_COLOURS), ("d", DIFFERENCE_COLOURS))}  # fmt: skip


def colours(dark: bool) -> dict[str, str]:
    light, at_dark = CSS.split("@media (prefers-color-scheme: dark)", 1)
    parts = [light, at_dark.split("\n}\n", 1)[0]] if dark else [light]
    return {name: value for part in parts for name, value in re.findall(r"--([\w-]+): (#\w{6});", part)}


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
    for name in (*STEPS["v"], *STEPS["d"]):
        ink = found["on-deep" if COLOURS[name] in DEEP else "ink"]
        assert contrast(ink, found[name]) >= 4.5, name


@pytest.mark.parametrize("dark", [False, True])
def test_scales_go_one_way_and_differences_are_even(dark: bool) -> None:
    found = colours(dark)
    away = 1 if dark else -1  # from the paper
    values = [away * luminance(found[name]) for name in STEPS["v"]]
    assert values == sorted(values)
    middle = len(STEPS["d"]) // 2
    for side in (STEPS["d"][middle::-1], STEPS["d"][middle:]):
        part = [away * luminance(found[name]) for name in side]
        assert part == sorted(part)
