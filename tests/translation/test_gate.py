"""What is rejected and why, with the figures worked out by hand."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mixlingua.errors import ConfigError
from mixlingua.translation.gate import (
    Gate,
    chrf,
    copied_words,
    length_deviation,
    length_ratio,
    most_repeats,
    script_share,
)
from mixlingua.translation.model import Translated


@pytest.mark.parametrize(
    ("text", "beyond", "repeats"),
    [
        ("the the the the", 3, 4),
        ("The  the\nTHE the.", 2, 3),  # "the " three times, then "the."
        ("The  the\nTHE the.", 3, 3),
        ("the the the the", 4, 0),
        ("a state of a state of a state of a state of it", 3, 4),
        ("在在在在", 3, 4),
        ("ประเทศประเทศประเทศประเทศ", 3, 4),
        ("----------------", 3, 0),  # no letter
        ("1 1 1 1 1 1", 3, 0),
        ("No one knows what it is that he knows.", 3, 0),
        ("", 1, 0),
    ],
)
def test_repeats_in_a_row_are_counted(text, beyond, repeats):
    found = most_repeats(text, beyond)
    assert found == (repeats if repeats > beyond else 0)


@pytest.mark.parametrize(
    ("text", "source", "language", "share"),
    [
        ("Где он живёт?", "Where does he live?", "ru", 1.0),
        ("Где lives он?", "Where is he?", "ru", 5 / 10),
        ("Где живёт Beyoncé?", "Where does Beyoncé live?", "ru", 1.0),  # a name that the source has
        ("Где живёт Beyonce\u0301?", "Where does Beyoncé live?", "ru", 1.0),  # composed differently
        ("Где живёт Shakira?", "Where does Beyoncé live?", "ru", 8 / 15),
        ("ベーカリーはどこ？", "Where is the bakery?", "ja", 1.0),  # ー belongs to no script
        ("这是什么？", "What is this?", "zh", 1.0),
        ("这是什么？", "What is this?", "ja", 1.0),  # Han is Japanese as well: what a script cannot tell
        ("이것은 무엇입니까?", "What is this?", "ko", 1.0),
        ("Was ist das?", "What is this?", "de", 1.0),
        ("Что это?", "What is this?", "de", 0.0),
        ("1914–1918", "1914–1918", "ar", 1.0),  # nothing to tell by
        ("qué es", "what is it", "zh-Hant", 0.0),
        ("kyA hai", "what is it", "hi-Latn", 1.0),
        ("Что это?", "What?", "xx", 1.0),  # no script is known
    ],
)
def test_script_share(text, source, language, share):
    assert script_share(text, source, language) == pytest.approx(share)


def test_a_copy_is_one_whose_words_the_source_has():
    source = "When did the Beatles come to Hamburg?"
    assert copied_words("when did the Beatles come to Hamburg", source) == 7
    assert copied_words("the Beatles come", source) == 3
    assert copied_words("Wann kamen the Beatles to Hamburg?", source) == 0


def test_length_deviation_is_worked_out():
    # 2 (sqrt(144) - sqrt(100)) / sqrt(6.8) = 4 / 2.60768
    assert length_deviation("s" * 100, "t" * 144, 1.0) == pytest.approx(1.533930)
    # the same where the language needs a quarter of the characters
    assert length_deviation("s" * 100, "t" * 36, 0.25) == pytest.approx(1.533930)
    assert length_deviation("s" * 100, "t" * 64, 1.0) == pytest.approx(-1.533930)
    assert length_deviation("s" * 100, "t" * 50, 0.5) == 0


def test_near_the_mean_the_deviation_is_that_of_gale_and_church():
    source, translation, ratio = 10_000, 10_100, 1.0
    of_the_paper = (translation - source * ratio) / (source * 6.8) ** 0.5
    assert length_deviation("s" * source, "t" * translation, ratio) == pytest.approx(of_the_paper, rel=0.01)


def test_the_bound_serves_questions_and_passages():
    """Half of a passage or twice of it is too far off; a question may vary more; one word for ten is too little."""
    far = {(600, 300): True, (600, 1200): True, (600, 500): False, (30, 50): False, (6, 16): False, (60, 3): True}
    assert {pair: abs(length_deviation("s" * pair[0], "t" * pair[1], 1.0)) > 3 for pair in far} == far


def test_the_ratio_is_the_median():
    assert length_ratio([("ssss", "tt"), ("ss", "tt"), ("ss", "tttttttt")]) == 1.0
    assert length_ratio([]) is None


QUESTION = "when did the first people come to this valley"
GOOD = "wann kamen die ersten Menschen in dieses Tal an"


def judged(translated, source=QUESTION, language="de", **bounds):
    """The verdict of one text among 20 good ones."""
    sources = {number: QUESTION for number in range(20)} | {20: source}
    pieces = {number: [(QUESTION, Translated(GOOD, True))] for number in range(20)}
    verdicts, ratio = Gate(**bounds).judge(sources, pieces | {20: translated}, language)
    assert ratio == pytest.approx(len(GOOD) / len(QUESTION))
    assert all(verdicts[number].reason is None for number in range(20))
    return verdicts[20]


@pytest.mark.parametrize(
    ("reason", "value", "translated", "bound"),
    [
        ("too_long", None, [(QUESTION, Translated(GOOD, True)), ("so long a sentence", None)], {}),
        ("empty", None, [(QUESTION, Translated(" ", True))], {}),
        ("empty", None, [(QUESTION, Translated(GOOD, True)), ("and why?", Translated("", True))], {}),
        ("cut_off", None, [(QUESTION, Translated(GOOD, False))], {}),
        ("loop", 7, [(QUESTION, Translated("wann " * 7, True))], {"max_repeats": 7}),
        ("copied", 9, [(QUESTION, Translated(QUESTION, True))], {"max_copied_words": 9}),
        (
            "script",
            0.0,
            [(QUESTION, Translated("когда люди пришли в эту самую долину", True))],
            {"min_script_share": 0},
        ),
        ("length", None, [(QUESTION, Translated("wann", True))], {"max_length_deviation": 4}),
    ],
)
def test_each_failure_has_its_reason_and_its_bound(reason, value, translated, bound):
    verdict = judged(translated)
    assert verdict.reason == reason
    assert verdict.value == (pytest.approx(value) if value is not None else verdict.value)
    if bound:
        assert judged(translated, **bound).reason != reason


def test_a_good_translation_is_accepted_with_its_pieces_joined():
    halves = [("when did the first people", Translated("wann kamen die ersten Menschen ", True)),
              ("come to this valley", Translated("in dieses Tal", True))]  # fmt: skip
    assert judged(halves) == ("wann kamen die ersten Menschen in dieses Tal", None, None)


def test_a_loop_of_the_source_may_be_one_of_the_translation():
    source = "he sang la la la la la and he left the valley"
    verdict = judged([(source, Translated("er sang la la la la la und er ging aus dem Tal", True))], source)
    assert verdict.reason is None


def test_chinese_sentences_are_joined_without_a_space():
    parts = [("One.", Translated("一。", True)), ("Two.", Translated("二。", True))]
    verdicts, _ = Gate().judge({0: "One. Two."}, {0: parts}, "zh")
    assert verdicts[0].text == "一。二。"


@pytest.mark.parametrize(
    "bound",
    [{"max_repeats": 0}, {"max_repeats": 1.5}, {"max_copied_words": -1}, {"min_script_share": 1.5},
     {"max_length_deviation": 0}, {"min_round_trip": 101}],
    ids=str,
)  # fmt: skip
def test_bounds_that_cannot_be_are_refused(bound):
    (key,) = bound
    with pytest.raises(ConfigError, match=rf"translation\.gate\.{key}="):
        Gate(**bound)


def test_chrf_is_worked_out():
    """Of 6 letters, 5 pairs and 4 triples, 3, 2 and 1 are equal, and nothing longer."""
    assert chrf("abcdef", "abcxyz") == pytest.approx(100 * (3 / 6 + 2 / 5 + 1 / 4) / 6, abs=1e-4)


def test_recall_counts_double():
    """All n n-grams of an order of "abcdef" are in "abcdefg", which has n + 1. F = 5 PR / (4P + R) of each order."""
    recalls = [count / (count + 1) for count in range(6, 0, -1)]
    longer = sum(5 * recall / (4 + recall) for recall in recalls) / 6
    shorter = sum(5 * precision / (4 * precision + 1) for precision in recalls) / 6
    assert chrf("abcdef", "abcdefg") == pytest.approx(100 * longer, abs=1e-4)
    assert chrf("abcdefg", "abcdef") == pytest.approx(100 * shorter, abs=1e-4)


@given(st.text("abc ", min_size=12))
def test_a_text_is_all_of_itself_and_nothing_of_another(text):
    if len("".join(text.split())) >= 6:
        assert chrf(text, f" {text}  ") == pytest.approx(100, abs=1e-3)
        assert chrf(text, "xyz xyz") == 0
    assert chrf("", text) == chrf(text, "") == 0


@pytest.mark.parametrize("text", ["Who?", "ja", "é"])
def test_a_short_text_equal_to_its_reference_has_all_of_chrf(text):
    """It has no n-grams of the higher orders, which therefore do not count."""
    assert chrf(text, text) == pytest.approx(100, abs=1e-3)
