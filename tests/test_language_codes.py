"""Which language codes are legal, and what they are called."""

import pytest

from mixlingua.errors import ConfigError
from mixlingua.languages import check_language, code_here, known_languages, language_name, script


@pytest.mark.parametrize("code", ["de", "zh", "zh-Hant", "hi-Latn", "sr-Latn", "zh-Hant-HK", "ceb", "yue", "nb"])
def test_codes_with_and_without_a_script_and_a_region(code):
    assert check_language(code, "here") == code


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("german", "unknown language 'german'; its code here is 'de'"),
        ("germn", "unknown language 'germn'; use ISO 639-1 codes.* Did you mean 'german'"),
        ("zh-", "unknown script or region in 'zh-'"),
        ("zh-Hant-", "unknown script or region in 'zh-Hant-'"),
        ("zh-Hantx", "unknown script or region in 'zh-Hantx'.* Did you mean 'zh-Hant'"),
        ("xxx", "unknown language 'xxx'; use ISO 639-1 codes such as 'de'\\.$"),
        ("", "unknown language ''"),
        (None, "a language must be an ISO 639-1 code such as 'de', not None"),
        (False, "here: False is no language; YAML reads no as False.*quotes: 'no'"),
        ("xx-Latn", "unknown language 'xx-Latn'"),
    ],
)
def test_others_are_refused(code, message):
    with pytest.raises(ConfigError, match=message):
        check_language(code, "here")


@pytest.mark.parametrize(
    ("code", "right"),
    [
        *(("eng", "en"), ("deu", "de"), ("ger", "de"), ("cmn", "zh"), ("fil", "tl"), ("nor", "no"), ("iw", "he")),
        *(("zh-CN", "zh"), ("zh_CN", "zh"), ("zh-TW", "zh-Hant"), ("zh_Hant", "zh-Hant"), ("zh-hant", "zh-Hant")),
        *(("zh-HK", "zh-Hant-HK"), ("zh-Hant-hk", "zh-Hant-HK"), ("zho_Hans", "zh"), ("arb_Arab", "ar")),
        *(
            ("de-DE", "de"),
            ("en_US", "en"),
            ("pt-BR", "pt"),
            ("pt-PT", "pt-Latn-PT"),
            ("DE", "de"),
            ("srp_Latn", "sr-Latn"),
            ("zh-Hans", "zh"),
            ("en-Latn", "en"),
            ("zh-Hant-TW", "zh-Hant"),
            ("pt-Latn-BR", "pt"),
        ),
    ],
)
def test_other_standards_are_answered_with_the_code_here(code, right):
    """ISO 639-2 and 639-3, BCP 47 with script and region, POSIX: never with a code that is merely spelt alike."""
    assert check_language(right, "here") == right
    with pytest.raises(ConfigError, match=f"^here: unknown language '{code}'; its code here is '{right}'"):
        check_language(code, "here")


@pytest.mark.parametrize("code", sorted(known_languages()))
def test_every_language_has_one_code(code):
    """Its own code of two letters is taken, and what CLDR writes at length leads back to it."""
    assert check_language(code, "here") == code
    assert code_here(f"{code}_{script(code)}" if script(code) else code) == code


def test_names():
    assert language_name("de") == "German"
    assert language_name("zh-Hant") == "Chinese (Traditional)"
    assert language_name("zh-Hant-HK") == "Chinese (Traditional, Hong Kong SAR China)"
    assert language_name("xx") == "xx"
