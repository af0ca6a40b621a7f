"""Words replaced through dictionaries: what, where, how often, and always the same for the same place."""

import pickle
from collections import Counter
from itertools import pairwise
from unicodedata import normalize

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mixlingua.data.codeswitch.dictionaries import WORD
from mixlingua.data.codeswitch.switcher import Codeswitch, CodeSwitcher
from mixlingua.errors import ConfigError, DataError

# One translation a word, so that with probability 1 and one target a text is determined.
FILES = {
    "en-de.txt": "the der\ndog hund\nbarks bellt\nquery frage\npassage absatz\nwrong falsch\n",
    "en-es.txt": "the el\ndog perro\nquery pregunta\npassage pasaje\nwrong malo\n",  # no "barks"
    "de-en.txt": "hund dog\nder the\nquery question\n",
    "hi-en.tsv": "कुत्ता\tdog\nहै\tis\n",
    "ar-zh.txt": "كلب 狗\n",
    "zh-en.txt": "狗 dog\n",
}
LANGUAGES = ["ar", "de", "en", "es", "hi", "zh"]


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / "dictionaries"
    path.mkdir()
    for name, text in FILES.items():
        (path / name).write_text(text, encoding="utf-8")
    return path


@pytest.fixture
def config(folder):
    def make(**changes):
        everywhere = dict.fromkeys(("languages", "query_targets", "passage_targets"), LANGUAGES)
        return Codeswitch(**{"path": folder, "probability": 1.0, **everywhere, **changes})

    return make


def switcher(dictionaries, *, variant="bilingual", probability=1.0, seed=0):
    """From the English words given, into every language that has some."""
    targets = sorted(dictionaries)
    return CodeSwitcher(
        {("en", target): words for target, words in dictionaries.items()},
        {"query": targets, "passage": targets},
        variant=variant,
        probability=probability,
        seed=seed,
        fingerprints={},
        notes=[],
    )


@pytest.mark.parametrize(
    ("text", "language", "targets", "result"),
    [
        ("The dog barks, DOG!", "en", ["de"], "Der hund bellt, HUND!"),
        ("The (dog)-dog: cat?\n", "en", ["de"], "Der (hund)-hund: cat?\n"),
        ("Der Hund schläft.", "de", ["en"], "The Dog schläft."),
        ("यह कुत्ता है।", "hi", ["en"], "यह dog is।"),
        ("أين كلب؟", "ar", ["zh"], "أين 狗؟"),
        ("狗 dog", "zh", ["en"], "狗 dog"),  # not cut into words: left as it is, even what stands between spaces
        ("El perro", "es", ["en"], "El perro"),  # no dictionary from Spanish
        ("The dog", "en", ["hi", "es"], "El perro"),  # none into Hindi, so that Spanish is the only choice
    ],
)
def test_replacements_worked_out_by_hand(config, text, language, targets, result):
    others = ["de-en", "hi-en", "ar-zh", "en-de"]  # a side with no dictionary at all would be refused
    targets_of_passages = [other[-2:] for other in others]
    change = config(query_targets=sorted({*targets, "zh"}), passage_targets=targets_of_passages).load(0)
    assert change(text, language, "query", (0, 0, 0)) == result


def test_bilingual_texts_go_into_one_language_each(config):
    change = config().load(0)
    drawn = Counter(change("the dog barks", "en", "query", (batch, 0, 0)) for batch in range(400))
    # Half of the texts each; Spanish lacks "barks", which stays: no other language steps in.
    assert set(drawn) == {"der hund bellt", "el perro barks"}
    assert abs(drawn["der hund bellt"] - 200) < 4 * 10


def test_multilingual_words_go_into_a_language_each(config):
    change = config(variant="multilingual").load(0)
    drawn = Counter(change("the dog barks", "en", "passage", (batch, 0, 0)) for batch in range(1600))
    assert set(drawn) == {f"{a} {b} {c}" for a in ("der", "el") for b in ("hund", "perro") for c in ("bellt", "barks")}
    # Eight equally likely texts, 200 each: standard deviation 13.2.
    assert all(abs(count - 200) < 4 * 13.2 for count in drawn.values())


def test_the_probability_is_that_of_a_word():
    change = switcher({"de": {"dog": ("hund",)}}, probability=0.3)
    words = change("dog " * 5000, "en", "query", (3, 1, 0)).split()
    assert abs(words.count("hund") - 1500) < 4 * (5000 * 0.3 * 0.7) ** 0.5
    pairs = Counter(pairwise(words))
    assert abs(pairs["hund", "hund"] - 450) < 4 * 450**0.5  # neighbours are replaced independently
    assert switcher({"de": {"dog": ("hund",)}}, probability=0.0)("dog " * 99, "en", "query", (0, 0, 0)) == "dog " * 99


def test_translations_are_drawn_uniformly():
    change = switcher({"de": {"the": ("der", "die", "das")}})
    counts = Counter(change("the " * 3000, "en", "passage", (0, 0, 0)).split())
    assert set(counts) == {"der", "die", "das"}
    assert all(abs(count - 1000) < 4 * 25.8 for count in counts.values())


def test_a_text_depends_on_its_place_and_on_nothing_else():
    words = {"de": {"dog": ("hund", "köter")}, "es": {"dog": ("perro", "can")}}
    change, again, other = (switcher(words, variant="multilingual", probability=0.5, seed=seed) for seed in (7, 7, 8))
    text = "dog " * 40
    places = [(side, (b, r, n)) for side in ("query", "passage") for b in (0, 1) for r in (0, 1) for n in (0, 1)]
    places = [(side, place) for side, place in places if side == "passage" or place[2] == 0]
    results = {place: change(text, "en", *place) for place in places}
    assert len(set(results.values())) == len(places)
    assert {place: again(text, "en", *place) for place in reversed(places)} == results
    assert all(other(text, "en", *place) != result for place, result in results.items())


def test_the_order_of_languages_does_not_matter(config):
    one, two = (config(query_targets=order, passage_targets=[]).load(0) for order in (["de", "es"], ["es", "de"]))
    texts = [[change("the dog", "en", "query", (b, 0, 0)) for b in range(20)] for change in (one, two)]
    assert texts[0] == texts[1]
    assert one.describe() == two.describe()


def test_the_texts_of_a_seed_stay_those_that_they_are():
    """After a change that is meant: raise _RULES of switcher.py, so that older checkpoints are refused."""
    words = {"de": {"dog": ("hund", "köter")}, "es": {"dog": ("perro", "can")}}
    change = pickle.loads(pickle.dumps(switcher(words, variant="multilingual", probability=0.5, seed=7)))
    assert change("dog " * 8, "en", "passage", (3, 12, 1)) == "dog perro dog dog hund dog perro can "


LOWER = st.text(
    st.characters(categories=["Ll", "Lo", "Mn", "Mc", "Nd", "Po", "Zs"], exclude_characters="’\u0307"), max_size=40
).map(lambda text: normalize("NFC", text).lower())


@given(LOWER)
def test_what_is_between_words_stays(text):
    """Words translated by themselves leave the text as it was."""
    words = {word: (word,) for word in WORD.findall(text)}
    assert switcher({"de": words})(text, "en", "query", (0, 0, 0)) == text


def test_sides_have_their_own_targets(config):
    change = config(query_targets=["de"], passage_targets=[]).load(0)
    assert change("the dog", "en", "query", (0, 0, 0)) == "der hund"
    assert change("the dog", "en", "passage", (0, 0, 0)) == "the dog"


def test_notes_say_what_is_there_and_what_is_missing(config):
    notes = config(query_targets=["de", "en", "es"], passage_targets=["zh"]).load(0).notes
    assert notes == [
        "ar: into zh (1 words); no dictionary into de en es",
        "de: into en (3 words); no dictionary into es zh",
        "en: into de (6 words), es (5 words); no dictionary into zh",
        "es: its texts are left as they are; no dictionary into de en zh",
        "hi: into en (2 words); no dictionary into de es zh",
        "zh: written without spaces between words; its texts are left as they are",
    ]


def test_the_description_knows_the_content_of_the_dictionaries_in_use(config, folder):
    before = config(languages=["en"], query_targets=["de"]).load(0).describe()
    assert before["name"] == "codeswitch_bilingual"
    assert sorted(before["dictionaries"]) == ["en-de", "en-es"]
    (folder / "hi-en.tsv").write_text("है\twas\n", encoding="utf-8")  # not in use
    assert config(languages=["en"], query_targets=["de"]).load(0).describe() == before
    (folder / "en-de.txt").write_text("the die\n", encoding="utf-8")
    after = config(languages=["en"], query_targets=["de"]).load(0).describe()
    assert [name for name in after if after[name] != before[name]] == ["dictionaries"]
    assert after["dictionaries"]["en-es"] == before["dictionaries"]["en-es"]


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"variant": "bilingal"}, ConfigError, r"variant=bilingal: it is one of .* Did you mean 'bilingual'\?"),
        ({"probability": 1.5}, ConfigError, r"augmentation\.probability=1\.5: a probability is within \[0, 1\]"),
        ({"probability": "half"}, ConfigError, r"augmentation\.probability=half"),
        ({"languages": ["english"]}, ConfigError, r"augmentation\.languages: unknown language 'english'; .*'en'"),
        ({"query_targets": [], "passage_targets": []}, ConfigError, r"both empty.*augmentation=none"),
        ({"path": "nowhere"}, DataError, r"nowhere: no such folder of dictionaries\. Get https://"),
        (
            {"languages": ["en", "es"], "query_targets": ["hi"]},
            DataError,
            r"has ar-zh de-en en-de en-es hi-en zh-en, and none .*\(en es\) into .*query_targets \(hi\)\. .* Get https",
        ),
        ({"languages": ["zh"]}, DataError, r"Texts in zh cannot be cut into words here\."),
    ],
)
def test_what_cannot_work_is_refused(config, changes, error, message):
    with pytest.raises(error, match=message):
        config(**changes)


def test_a_bad_line_is_named(config, folder):
    (folder / "en-de.txt").write_text("the der\nthe big dog\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"en-de\.txt:2: 3 words and no tab"):
        config().load(0)
