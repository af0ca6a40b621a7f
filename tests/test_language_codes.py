"""Which language codes are legal, and what they are called."""

import pytest

from mixlingua.errors import ConfigError
from mixlingua.languages import check_language, language_name


@pytest.mark.parametrize("code", ["de", "zh", "zh-Hant", "hi-Latn", "sr-Latn", "zh-Hant-HK"])
def test_codes_with_and_without_a_script_and_a_region(code):
    assert check_language(code, "here") == code


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("deu", "here: unknown language 'deu'; use ISO 639-1 codes"),
        ("german", "use its ISO 639-1 code 'de'"),
        ("zh-", "unknown script in 'zh-'"),
        ("zh-hant", "unknown script in 'zh-hant'.* Did you mean 'zh-Hant'"),
        ("zh-TW", "unknown script in 'zh-TW'; use an ISO 15924 code, as in 'zh-Latn'"),
        ("zh-Hant-", "unknown region in 'zh-Hant-'"),
        ("zh-Hant-hk", "unknown region in 'zh-Hant-hk'; use an ISO 3166-1 code, as in 'zh-Hant-HK'"),
        ("zh-Hant-HK-x", "unknown region in 'zh-Hant-HK-x'"),
        ("zh-HK", "unknown script in 'zh-HK'"),
        ("xx-Latn", "unknown language 'xx-Latn'"),
    ],
)
def test_others_are_refused(code, message):
    with pytest.raises(ConfigError, match=message):
        check_language(code, "here")


def test_names():
    assert language_name("de") == "German"
    assert language_name("zh-Hant") == "Chinese (Traditional)"
    assert language_name("zh-Hant-HK") == "Chinese (Traditional, Hong Kong SAR China)"
    assert language_name("xx") == "xx"
