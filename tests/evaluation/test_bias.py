"""Language bias on rankings worked out by hand, and against a naive reading of full rankings."""

import math

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from mixlingua.evaluation import bias
from mixlingua.evaluation.bias import PREFERENCE, MixedRanks, preference_metrics, top_language_shares
from mixlingua.evaluation.metrics import BIAS, relevant_ranks
from mixlingua.evaluation.results import PARTIAL, TOP


def mixed(ranks, own, top=(0.5, 0.5), pool=(0.5, 0.5), language=0, pool_size=100):
    """One query; ranks ascending, own: which of them are in its language."""
    return MixedRanks(
        np.array([ranks], float),
        np.ones((1, len(ranks))),
        pool_size,
        same_language=np.array([own], bool),
        top=np.array([top]),
        pool=np.array(pool),
        language=language,
    )


def mixed_ranks(scores, columns, grades, languages, language):
    """The ranking of a pool that mixes languages, as the engine makes it."""
    same = (columns >= 0) & (languages[np.maximum(columns, 0)] == language)
    top = top_language_shares(scores, columns, grades, languages, TOP)
    pool = np.bincount(languages) / len(languages)
    ranking = relevant_ranks(scores, columns, grades, same)
    return MixedRanks(**vars(ranking), top=top, pool=pool, language=language)


def test_recall_of_other_languages():
    result = mixed([1, 4, 11, 200], [True, False, False, False], pool_size=1000)
    assert bias.recall_other_at(result, 10).item() == 1 / 3
    assert bias.recall_other_at(result, 100).item() == 2 / 3
    assert math.isnan(bias.recall_other_at(mixed([1, 2], [True, True]), 10).item()), "no answer in another language"
    assert bias.recall_other_at(mixed([2, math.inf], [False, True]), 10).item() == 1


@pytest.mark.parametrize(
    ("ranks", "own", "with_own", "without"),
    [
        ([1, 2, 3], [True, False, False], 1, 1),  # nothing but answers in front: the others just move up
        ([1, 5, 9], [True, False, False], (1 + 2 / 5 + 3 / 9) / 3, (1 / 4 + 2 / 8) / 2),
        ([1, 5, 9], [False, True, False], (1 + 2 / 5 + 3 / 9) / 3, (1 + 2 / 8) / 2),
        ([1, 5, 9], [False, False, True], (1 + 2 / 5 + 3 / 9) / 3, (1 + 2 / 5) / 2),  # the own answer is the worst
        ([1, 2, 7], [True, True, False], (1 + 1 + 3 / 7) / 3, 1 / 5),
        ([2, math.inf], [True, False], (1 / 2) / 2, 0),
        ([2, math.inf], [False, True], (1 / 2) / 2, 1 / 2),
    ],
)
def test_drop_without_the_own_answer(ranks, own, with_own, without):
    assert bias.map_drop_without_own(mixed(ranks, own)).item() == pytest.approx(with_own - without)


@pytest.mark.parametrize("own", [[True, True], [False, False]])
def test_the_drop_needs_an_own_answer_and_another(own):
    assert math.isnan(bias.map_drop_without_own(mixed([1, 5], own)).item())


def test_languages_of_the_top_against_the_pool():
    result = mixed([1], [True], top=(0.7, 0.2, 0.1), pool=(0.25, 0.25, 0.5), language=0)
    assert bias.own_language_excess(result).item() == pytest.approx(0.45)
    assert bias.language_divergence(result).item() == pytest.approx((0.45 + 0.05 + 0.4) / 2)
    equal = mixed([1], [True], top=(0.5, 0.5), pool=(0.5, 0.5), language=1)
    assert bias.own_language_excess(equal).item() == bias.language_divergence(equal).item() == 0
    assert bias.language_divergence(mixed([1], [True], top=(1, 0), pool=(0.1, 0.9))).item() == pytest.approx(0.9)


def test_each_language_has_its_share():
    shares = preference_metrics(["de", "en", "zh"])
    result = mixed([1], [True], top=(0.7, 0.2, 0.1), pool=(0.2, 0.3, 0.5))
    found = [shares[f"share_of_{language}_at_10"](result).item() for language in ("de", "en", "zh")]
    assert found == [0.7, 0.2, 0.1]
    assert set(shares) - set(PREFERENCE) == {"share_of_de_at_10", "share_of_en_at_10", "share_of_zh_at_10"}


def test_what_may_be_undefined_is_a_metric():
    assert set(PREFERENCE) > PARTIAL
    worlds = [mixed([1], [True]), mixed([1], [False], language=-1)]
    assert {name for name, metric in PREFERENCE.items() for world in worlds if np.isnan(metric(world)).any()} == PARTIAL


def test_own_answers_come_first_among_equals():
    """Three answers with one score share ranks 2 to 4: the own one is counted as the first."""
    scores = np.array([[0.9, 0.5, 0.5, 0.5]], np.float32)
    columns, grades, languages = np.array([[1, 2, 3]]), np.ones((1, 3)), np.array([0, 1, 0, 1])
    german, english = (mixed_ranks(scores, columns, grades, languages, language) for language in (0, 1))
    assert (german.ranks.tolist(), german.same_language.tolist()) == ([[2, 3, 4]], [[True, False, False]])
    assert (english.ranks.tolist(), english.same_language.tolist()) == ([[2, 3, 4]], [[True, True, False]])


def shares(scores, relevant, languages, k):
    """One query. relevant: column -> grade."""
    columns, grades = np.array([list(relevant)]), np.array([list(relevant.values())], float)
    return top_language_shares(np.array([scores], np.float32), columns, grades, np.array(languages), k)[0].tolist()


@pytest.mark.parametrize(
    ("scores", "relevant", "expected"),
    [
        ([0.9, 0.8, 0.7, 0.1], {0: 1}, [1, 0]),  # the first two are in language 0
        ([0.9, 0.1, 0.8, 0.7], {0: 1}, [1 / 2, 1 / 2]),
        ([0.9, 0.5, 0.5, 0.5], {0: 1}, [1 / 2 + 1 / 6, 2 / 6]),  # three share one place
        ([0.9, 0.5, 0.5, 0.1], {1: 1}, [1 / 2, 1 / 2]),  # an irrelevant passage comes before a relevant one
        ([0.9, 0.5, 0.5, 0.1], {1: 1, 2: 1}, [3 / 4, 1 / 4]),  # equally relevant ones share the place
        ([0.9, 0.5, 0.5, 0.1], {1: 3, 2: 1}, [1 / 2, 1 / 2]),  # the less relevant one is first
        ([0.5, 0.5, 0.5, 0.5], {0: 1}, [1 / 3, 2 / 3]),  # all tie: the pool without the answer
        ([0.9, 0.9, 0.5, 0.5], {0: 1}, [1, 0]),  # a tie that fits is no tie
        ([-0.9, -0.8, -0.2, -0.1], {0: 1}, [0, 1]),
        ([0.9, -math.inf, -math.inf, -math.inf], {0: 1}, [1, 0]),  # one passage was returned
    ],
)
def test_shares_of_the_first_two(scores, relevant, expected):
    assert shares(scores, relevant, [0, 0, 1, 1], k=2) == pytest.approx(expected)


def test_shares_of_a_small_pool_and_of_nothing():
    assert shares([0.3, 0.3, 0.1], {0: 1}, [0, 1, 1], k=10) == pytest.approx([1 / 3, 2 / 3])
    assert all(map(math.isnan, shares([-math.inf] * 3, {0: 1}, [0, 1, 1], k=2)))


@st.composite
def rankings(draw):
    """Scores (Q, P) that tie often, grades (Q, P) with a relevant passage in each row, and languages (P,), all used."""
    num_queries, pool_size, num_languages = draw(st.integers(1, 3)), draw(st.integers(3, 120)), draw(st.integers(1, 3))
    score = st.sampled_from([-0.75, -0.5, -1e-7, 0.0, 0.25, 0.5, 0.75, -np.inf])
    scores = draw(arrays(np.float32, (num_queries, pool_size), elements=score, fill=st.nothing()))
    grades = draw(arrays(np.float64, (num_queries, pool_size), elements=st.sampled_from([0, 0, 0, 1, 1, 2])))
    grades[:, draw(st.integers(0, pool_size - 1))] = 1
    languages = draw(arrays(np.int64, pool_size, elements=st.integers(0, num_languages - 1)))
    languages[:num_languages] = range(num_languages)
    return scores, grades, languages, draw(st.integers(0, num_languages - 1))


def ours(scores, grades, languages, language):
    count = (grades > 0).sum(axis=1)
    columns, padded = np.full((len(grades), count.max()), -1), np.zeros((len(grades), count.max()))
    for row, row_grades in enumerate(grades):
        found = np.flatnonzero(row_grades)
        columns[row, : len(found)], padded[row, : len(found)] = found, row_grades[found]
    result = mixed_ranks(scores, columns, padded, languages, language)
    names = [str(number) for number in range(languages.max() + 1)]
    return {name: metric(result) for name, metric in (BIAS | preference_metrics(names)).items()}


def naive(scores, grades, languages, language):
    """One query, from its sorted pool, and from the pool without the own answers sorted anew."""
    returned = [c for c in range(len(scores)) if scores[c] > -np.inf]
    ranking = sorted(returned, key=lambda c: (-scores[c], grades[c], languages[c] != language))
    relevant = [c for c in range(len(scores)) if grades[c] > 0]
    own = [c for c in relevant if languages[c] == language]
    other = [c for c in relevant if languages[c] != language]

    def precision(order, wanted):
        places = [place for place, c in enumerate(order, 1) if c in wanted]
        return sum(found / place for found, place in enumerate(places, 1)) / len(wanted)

    places = {c: place for place, c in enumerate(ranking, 1)}
    last = max(places.get(c, len(scores)) for c in relevant)
    expected = {
        "rank_distance": last - min(places.get(c, len(scores)) for c in relevant),
        "normalised_max_rank": 100 * (last - len(relevant)) / max(len(scores) - len(relevant), 1),
        "complete_at_10": float(all(places.get(c, np.inf) <= 10 for c in relevant)),
        "complete_at_100": float(all(places.get(c, np.inf) <= 100 for c in relevant)),
        "recall_other_at_10": np.nan,
        "recall_other_at_100": np.nan,
        "map_drop_without_own": np.nan,
    }
    if other:
        for k in (10, 100):
            expected[f"recall_other_at_{k}"] = sum(places.get(c, np.inf) <= k for c in other) / len(other)
    if own and other:
        rest = [c for c in ranking if c not in own]
        expected["map_drop_without_own"] = precision(ranking, relevant) - precision(rest, other)
    pool, top = np.bincount(languages) / len(languages), np.zeros(languages.max() + 1)
    for (
        c
    ) in returned:  # a passage among n equal ones, which stand behind `before` others, has 1/n of each of their places
        before = sum((-scores[d], grades[d]) < (-scores[c], grades[c]) for d in returned)
        equals = sum((scores[d], grades[d]) == (scores[c], grades[c]) for d in returned)
        top[languages[c]] += min(max(10 - before, 0), equals) / equals
    top = top / top.sum() if returned else np.full(len(top), np.nan)
    expected["own_language_excess_at_10"] = top[language] - pool[language]
    expected["language_divergence_at_10"] = sum(max(share, 0) for share in top - pool) if returned else np.nan
    return expected | {f"share_of_{number}_at_10": share for number, share in enumerate(top)}


@settings(max_examples=150)
@given(rankings())
@example((np.zeros((1, 30), np.float32), np.eye(1, 30) + np.eye(1, 30, 29), np.arange(30) % 2, 0))  # everything ties
@example((np.full((1, 12), -np.inf, np.float32), np.eye(1, 12), np.arange(12) % 3, 1))  # nothing is returned
def test_equal_to_a_naive_reading_of_the_full_ranking(world):
    scores, grades, languages, language = world
    found = ours(*world)
    for row in range(len(scores)):
        expected = naive(scores[row], grades[row], languages, language)
        assert found.keys() == expected.keys()
        for name, value in expected.items():
            assert found[name][row] == pytest.approx(value, abs=1e-9, nan_ok=True), name
