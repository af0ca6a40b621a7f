"""Set-ups that cannot work are refused, with what to do; decisions that a user should know of are noted."""

from functools import partial

import numpy as np
import pytest
from tests.sampling.conftest import make_plan

from mixlingua.errors import ConfigError
from mixlingua.sampling.strategies import Crosslingual, English, Hybrid, Mixed, Monolingual

HYBRID = Hybrid()


plan_of = partial(make_plan, batch_size=20)


@pytest.mark.parametrize("alpha", [-0.1, 1.1, float("nan"), "half", True])
def test_alpha_outside_0_and_1(alpha):
    with pytest.raises(ConfigError, match=rf"sampler\.alpha: '?{alpha}'? lies outside \[0, 1\]"):
        Hybrid(alpha=alpha)


@pytest.mark.parametrize("strategy", [Monolingual, Crosslingual, Mixed, English])
@pytest.mark.parametrize("exponent", [-1.0, float("inf"), float("nan"), "size"])
def test_exponent(strategy, exponent):
    with pytest.raises(ConfigError, match=r"sampler\.exponent: "):
        strategy(exponent=exponent)


@pytest.mark.parametrize("strategy", [Crosslingual, Hybrid])
@pytest.mark.parametrize("value", [True, "singles"])
def test_batch_pairs(strategy, value):
    with pytest.raises(ConfigError, match=rf"sampler\.batch_pairs={value}: it is one of mixed, single\."):
        strategy(batch_pairs=value)


@pytest.mark.parametrize("strategy", [Monolingual(), HYBRID, Mixed(), English()])
def test_batch_larger_than_a_source(make_source, strategy):
    sources = [make_source(500), make_source(30, name="small")]
    with pytest.raises(
        ConfigError, match=r"data\.batch_size: a batch of 31 is larger than source small: .* 30 rows"
    ) as caught:
        plan_of(sources, strategy, batch_size=31)
    assert str(caught.value).count("larger than source small") == 1
    assert plan_of(sources, strategy, batch_size=30).notes == []


def test_batch_larger_than_the_passages_of_a_source(make_source):
    source = make_source(500, name="repeats")
    source.keys = (np.arange(500) % 19)[:, None]
    source.conflict_rate = 1 / 19
    with pytest.raises(ConfigError, match=r"larger than source repeats.* 500 rows, 19 without a shared passage"):
        plan_of([source])
    plan = plan_of([source], batch_size=19)
    assert sorted(plan.batch(7).rows % 19) == list(range(19))


def test_batch_larger_than_the_bilingual_rows_of_a_source(make_source):
    source = make_source(400, "de en")
    source.coverage = np.where(np.arange(400) < 15, 3, 1 + np.arange(400) % 2).astype(np.uint64)
    with pytest.raises(ConfigError, match="a crosslingual batch in de en has 15 rows to choose from"):
        plan_of([source], Crosslingual())


def test_rows_of_one_language_each_serve_monolingual_batches_only(make_source):
    questions, sentences = make_source(300, "de en", name="questions"), make_source(300, name="sentences")
    questions.coverage = (1 + np.arange(300) % 2).astype(np.uint64)
    plan = plan_of([questions, sentences], HYBRID)
    drawn = {(batch.kind, batch.source_index) for batch in map(plan.batch, range(200))}
    assert drawn == {("monolingual", 0), ("monolingual", 1), ("crosslingual", 1)}
    with pytest.raises(ConfigError, match="sampler=crosslingual: crosslingual batches need a source with two or more"):
        plan_of([questions], Crosslingual())


def test_all_problems_come_together(make_source):
    with pytest.raises(ConfigError) as caught:
        plan_of([make_source(10, name="first"), make_source(300, "hi ru", name="second")], Monolingual())
    assert len(str(caught.value).splitlines()) == 2
    assert "larger than source first" in str(caught.value)
    assert "second: none of its rows has a training language (ar, de, en, tr); it has hi, ru" in str(caught.value)


@pytest.mark.parametrize("strategy", [Crosslingual(), HYBRID, Mixed()])
@pytest.mark.parametrize("languages", [("de",), ("de", "ru")])
def test_one_language_only(make_source, strategy, languages):
    with pytest.raises(ConfigError, match=rf"sampler={strategy.name}: .* two or more of the training languages \(de"):
        plan_of([make_source(300), make_source(300, "de")], strategy, languages=languages)


@pytest.mark.parametrize("languages", [("de", "tr"), ("de", "en")])
def test_english_without_english(make_source, languages):
    source = make_source(300, "de tr" if "en" in languages else "de en tr")
    with pytest.raises(ConfigError, match="sampler=english: needs rows in en"):
        plan_of([source], English(), languages=languages)


def test_a_batch_that_does_not_divide_over_the_ranks(make_source):
    with pytest.raises(ConfigError, match=r"data\.batch_size: 20 does not divide over 3 processes"):
        plan_of([make_source(300)]).batch(0).slice(0, 3)


def test_plain_mistakes(make_source):
    with pytest.raises(ConfigError, match="no source"):
        plan_of([])
    with pytest.raises(ConfigError, match="training languages"):
        plan_of([make_source(300)], languages=[])
    with pytest.raises(ConfigError, match="training languages"):
        plan_of([make_source(300)], languages=["de", "en", "de"])
    with pytest.raises(ConfigError, match=r"data\.batch_size=0: a whole number of 1 or more"):
        plan_of([make_source(300)], batch_size=0)
    with pytest.raises(ConfigError, match="seed: -1"):
        plan_of([make_source(300)], seed=-1)
    with pytest.raises(IndexError, match="-1"):
        plan_of([make_source(300)]).batch(-1)


def test_a_language_with_too_few_rows_is_noted_and_serves_crosslingual_batches_only(make_source):
    source = make_source(400, "de en tr", name="debian")
    source.coverage = np.where(np.arange(400) < 19, 7, 3).astype(np.uint64)
    plan = plan_of([source], languages=["de", "en", "tr"])
    assert plan.notes == ["debian: tr (19 rows) serves cross-lingual batches only: too few for a batch of 20"]
    asked = {(batch.kind, language) for batch in map(plan.batch, range(300)) for language in batch.query_languages}
    assert ("monolingual", "tr") not in asked and ("crosslingual", "tr") in asked
    monolingual = plan_of([source], Monolingual(), languages=["de", "en", "tr"])
    assert monolingual.notes == ["debian: tr (19 rows) is not trained on: too few for a batch of 20"]


def test_a_rare_language_that_uses_up_epochs_is_noted(make_source):
    source = make_source(400, "de en tr", name="rare")
    source.coverage = np.where(np.arange(400) < 21, 7, 3).astype(np.uint64)
    plan = plan_of([source], languages=["de", "en", "tr"])
    assert plan.notes[0].startswith("rare: few rows (21 of 400) serve monolingual batches in tr")


def test_a_source_or_language_without_part_in_training_is_noted(make_source):
    plan = plan_of(
        [make_source(300), make_source(300, "en", name="one")],
        Crosslingual(),
        languages=["de", "en", "ru"],
    )
    assert plan.notes == [
        "one: only en; it serves no batch of sampler=crosslingual",
        "ru: no source has it; it is not trained on",
    ]


def test_sentences_with_their_translations_serve_cross_lingual_batches_only(make_source):
    questions, sentences = make_source(300, name="questions"), make_source(300, name="sentences")
    sentences.is_translations = True
    plan = plan_of([questions, sentences])
    drawn = {(batch.kind, batch.source_index) for batch in map(plan.batch, range(200))}
    assert drawn == {("monolingual", 0), ("crosslingual", 0), ("crosslingual", 1)}
    assert plan.notes[0].startswith("sentences: sentences with their translations; it serves cross-lingual")


@pytest.mark.parametrize("strategy", [Monolingual(), HYBRID, Mixed(), English()], ids=lambda one: one.name)
def test_translations_alone_give_no_batch_of_one_language(make_source, strategy):
    sentences = make_source(300, name="sentences")
    sentences.is_translations = True
    with pytest.raises(ConfigError, match=rf"sampler={strategy.name}: .* \(sentences\) are sentences with their"):
        plan_of([sentences], strategy)
    assert plan_of([sentences], Crosslingual()).notes == []
