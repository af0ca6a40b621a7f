"""Our language codes in the words of M2M100 and NLLB."""

import tomllib
from importlib.resources import files

import pytest
from transformers.models.m2m_100.tokenization_m2m_100 import FAIRSEQ_LANGUAGE_CODES as M2M100
from transformers.models.nllb.tokenization_nllb import FAIRSEQ_LANGUAGE_CODES as NLLB

from mixlingua.translation.model import model_languages


@pytest.mark.parametrize(
    ("code", "name"),
    [("de", "deu_Latn"), ("ar", "arb_Arab"), ("zh", "zho_Hans"), ("zh-Hant", "zho_Hant"), ("ko", "kor_Hang"),
     ("ja", "jpn_Jpan"), ("fa", "pes_Arab"), ("sw", "swh_Latn"), ("no", "nob_Latn"), ("nb", "nob_Latn"),
     ("nn", "nno_Latn"), ("lv", "lvs_Latn"), ("et", "est_Latn"), ("ms", "zsm_Latn"), ("sr", "srp_Cyrl"),
     ("ps", "pbt_Arab"), ("tl", "tgl_Latn"), ("el", "ell_Grek"), ("ak", "aka_Latn")],
)  # fmt: skip
def test_nllb(code, name):
    assert model_languages([*NLLB, "deu", "▁the"])[code] == (name, name)


def test_m2m100():
    found = model_languages([f"__{code}__" for code in M2M100["m2m100"]] + ["__deu", "__UNK__"])
    assert found["de"] == ("de", "__de__")
    assert found["nb"] == found["no"] == ("no", "__no__")
    assert "zh-Hant" not in found and "ceb" not in found
    assert {"ar", "de", "el", "en", "es", "hi", "ru", "th", "tr", "vi", "zh"} <= found.keys()


def test_each_language_of_nllb_has_one_code_as_elsewhere_in_the_project():
    found = {code: language.name for code, language in model_languages(NLLB).items() if code != "no"}
    assert len(set(found.values())) == len(found) > 120
    table = tomllib.loads(files("mixlingua.data").joinpath("public_files.toml").read_text(encoding="utf-8"))
    belebele = table["belebele"]
    both = {code for code, name in belebele.items() if name in NLLB and code in found}
    assert {code: found[code] for code in both} == {code: belebele[code] for code in both}
    missing = {code: name for code, name in belebele.items() if name in NLLB and code not in found}
    assert missing == {}


def test_other_models_have_none():
    assert model_languages(["[CLS]", "the", "deu_"]) == {}
