"""How a translation model names languages: M2M100 by tokens such as __de__, NLLB by tokens such as deu_Latn."""

import re
from collections.abc import Iterable
from typing import NamedTuple

from mixlingua.languages import known_languages, script

_M2M100 = re.compile(r"__([a-z]{2})__")
_NLLB = re.compile(r"([a-z]{3})_([A-Z][a-z]{3})")
# Codes of NLLB's individual languages that CLDR does not reduce to the language's ISO 639-1 code, or to another's.
_NLLB_LANGUAGES = {"pbt": "ps", "quy": "qu", "fuv": "ff", "tgl": "tl", "twi": "tw"}
_SAME_SCRIPT = {"Hang": "Kore"}  # Korean as NLLB and as CLDR call its script


class ModelLanguage(NamedTuple):
    """A language as a model names it. name: what its tokenizer takes as src_lang; token: what its texts begin with."""

    name: str
    token: str


def model_languages(vocabulary: Iterable[str]) -> dict[str, ModelLanguage]:
    """Our code -> the model's name of every language that a tokenizer's vocabulary has a token for and that has a code
    of ours: ISO 639-1, with the script where it is not the language's usual one (zh-Hant). Empty for other kinds of
    model.

    Norwegian (no) is Bokmål (nb) in both kinds.
    """
    found: dict[str, ModelLanguage] = {}
    for token in vocabulary:
        if match := _M2M100.fullmatch(token):
            if match[1] in known_languages():
                found[match[1]] = ModelLanguage(match[1], token)
        elif (match := _NLLB.fullmatch(token)) and (code := _code(*match.groups())):
            found[code] = ModelLanguage(token, token)
    for code, other in (("no", "nb"), ("nb", "no")):
        if code not in found and other in found:
            found[code] = found[other]
    return found


def _code(language: str, written: str) -> str | None:
    """Our code of an ISO 639-3 language in a script; None where there is no ISO 639-1 code."""
    from babel.core import get_global

    code = _NLLB_LANGUAGES.get(language) or get_global("language_aliases").get(language)
    if code not in known_languages():
        return None
    return code if _SAME_SCRIPT.get(written, written) == script(code) else f"{code}-{written}"
