"""What is known of languages: resources, script, family."""

import pytest

from mixlingua.evaluation.benchmarks.lareqa import MLQA_R, XQUAD_R
from mixlingua.languages import between_sentences, family, known_languages, resource_class, script

# Benchmarks by their papers: MIRACL, Mr. TyDi, XNLI, XM3600 (without fil and quz), the 36 of Tatoeba in XTREME.
LANGUAGES = {
    "miracl": "ar bn de en es fa fi fr hi id ja ko ru sw te th yo zh",
    "mr_tydi": "ar bn en fi id ja ko ru sw te th",
    "xnli": "ar bg de el en es fr hi ru sw th tr ur vi zh",
    "xm3600": "ar bn cs da de el en es fa fi fr he hi hr hu id it ja ko mi nl no pl pt ro ru sv sw te th tr uk vi zh",
    "tatoeba": "af ar bg bn de el es et eu fa fi fr he hi hu id it ja jv ka kk ko ml mr nl pt ru sw ta te th tl tr ur "
    "vi zh",
    "xquad_r": " ".join(XQUAD_R.published),
    "mlqa_r": " ".join(MLQA_R.published),
}


@pytest.mark.parametrize("benchmark", LANGUAGES)
def test_languages_of_the_benchmarks_are_known(benchmark):
    for code in LANGUAGES[benchmark].split():
        assert None not in (resource_class(code), script(code), family(code)), code


@pytest.mark.parametrize(
    ("code", "known"),
    [
        ("en", (5, "Latn", "Indo-European")),
        ("zh", (5, "Hans", "Sino-Tibetan")),
        ("hi", (4, "Deva", "Indo-European")),
        ("vi", (4, "Latn", "Austroasiatic")),
        ("el", (3, "Grek", "Indo-European")),
        ("th", (3, "Thai", "Tai-Kadai")),
        ("sw", (2, "Latn", "Atlantic-Congo")),
        ("te", (1, "Telu", "Dravidian")),
        ("eo", (1, "Latn", None)),  # constructed
        ("si", (None, "Sinh", "Indo-European")),  # in two classes
        ("zh-Hant", (5, "Hant", "Sino-Tibetan")),
        ("zh-Hant-HK", (5, "Hant", "Sino-Tibetan")),
        ("hi-Latn", (4, "Latn", "Indo-European")),
        ("xx", (None, None, None)),
    ],
)
def test_what_is_known(code, known):
    assert (resource_class(code), script(code), family(code)) == known


def test_sentences_are_joined_by_the_script_that_a_language_is_written_in():
    assert [between_sentences(code) for code in ("zh", "zh-Hant-HK", "zh-Hani", "ja", "yue", "wuu")] == [""] * 6
    assert [between_sentences(code) for code in ("zh-Latn", "ja-Latn", "ko", "th", "lo", "en", "xx")] == [" "] * 7


def test_classes_have_the_sizes_of_the_paper():
    """7, 18 and 28 languages in classes 5, 4 and 3 (table 1); Cebuano and Egyptian Arabic have no two-letter code."""
    classes = [resource_class(code) for code in known_languages()]
    assert [classes.count(number) for number in (5, 4, 3)] == [7, 18, 28 - 2]
