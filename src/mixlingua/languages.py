"""Language codes (ISO 639-1, with a script and a region where they are needed), their English names (CLDR), and what
sets languages apart: resources, script, family."""

import tomllib
from collections.abc import Collection
from functools import cache
from importlib.resources import files

from mixlingua.errors import ConfigError, DataError, suggest


@cache
def _names(kind: str, *lengths: int) -> dict[str, str]:
    """The codes of these lengths that CLDR names, with their English names. kind: languages, scripts or territories."""
    from babel import Locale

    return {code: name for code, name in getattr(Locale("en"), kind).items() if len(code) in lengths}


def known_languages() -> dict[str, str]:
    """Every two-letter code that CLDR names, with its English name."""
    return _names("languages", 2)


@cache
def _is_language(code: str) -> bool:
    """Whether it is a language's code here: of two letters, or of three where CLDR knows none of two."""
    from babel.core import get_global

    aliases = get_global("language_aliases")
    if code in known_languages():
        return True
    known = code in _names("languages", 3) and code in get_global("likely_subtags")
    return known and code not in aliases and not any(aliases.get(short) == code for short in known_languages())


def two_letter(code: str) -> str:
    """The ISO 639-1 code of an ISO 639-3 one, such as "de" for "deu" or "fa" for "pes" (CLDR); others as they are."""
    from babel.core import get_global

    return str(get_global("language_aliases").get(code, code)) if len(code) == 3 else code


def language_name(code: str) -> str:
    """The English name of a code, such as "German" for "de" or "Chinese (Traditional)" for "zh-Hant"; the code itself
    where CLDR has no name."""
    language, script, region = _parts(code)
    name = _names("languages", 2, 3).get(language, language)
    further = [
        names.get(part, part)
        for part, names in ((script, _names("scripts", 4)), (region, _names("territories", 2)))
        if part
    ]
    return f"{name} ({', '.join(further)})" if further else name


def check_language(code: object, where: str) -> str:
    """Return `code` if it is a known ISO 639-1 code, or one with a script ("zh-Hant", "hi-Latn") and perhaps a region
    ("zh-Hant-HK"); languages without such a code have that of ISO 639-3 ("ceb").

    A script tells a second way to write a language from the usual one, which goes without (zh is Simplified Chinese); a
    region tells a variety in that script from another. So a language has one code, under which all figures stand.
    `where` is the config key or file the code came from. Raises ConfigError naming it, with the right code where what
    is meant is known (`code_here`).
    """
    if code is False:
        raise ConfigError(f"{where}: False is no language; YAML reads no as False. Put Norwegian in quotes: 'no'.")
    if not isinstance(code, str):
        raise ConfigError(f"{where}: a language must be an ISO 639-1 code such as 'de', not {code!r}.")
    language, script, region = _parts(code)
    script_known = script is None or script in _names("scripts", 4)
    parts_known = _is_language(language) and script_known and (region is None or region in _names("territories", 2))
    if parts_known and code_here(code) in (None, code):
        return code
    by_name = _codes_by_name()
    if right := by_name.get(code.lower()) or code_here(code):
        raise ConfigError(f"{where}: unknown language '{code}'; its code here is '{right}'.")
    if language in known_languages():
        near = suggest(code, [f"{language}-{name}" for name in _names("scripts", 4)])
        raise ConfigError(
            f"{where}: unknown script or region in '{code}'; use codes of ISO 15924 and, behind a script, ISO 3166-1, "
            f"as in '{language}-Latn' or 'zh-Hant-HK'.{near}"
        )
    near = suggest(code.lower(), by_name) if len(code) > 3 else ""
    raise ConfigError(f"{where}: unknown language '{code}'; use ISO 639-1 codes such as 'de'.{near}")


def suggest_language(code: str, offered: Collection[str]) -> str:
    """A sentence that names which of `offered` is meant, or near, with a leading space; empty where none is."""
    right = _codes_by_name().get(code.lower()) or code_here(code)
    return f" Its code here is '{right}'." if right in offered else suggest(code, offered)


def _codes_by_name() -> dict[str, str]:
    return {name.lower(): code for code, name in known_languages().items()}


@cache
def code_here(code: str) -> str | None:
    """The code that `check_language` takes, of a language in the ways of BCP 47, ISO 639-2 and 639-3 or POSIX.

    "en" for "eng" and "en_US", "zh" for "zh-CN" and "zh-Hans", "zh-Hant" for "zh_Hant" and "zh-TW", "tl" for "fil",
    "pt-Latn-PT" for "pt-PT": a script or a region stays where it is not the language's usual one (CLDR). None where the
    language is unknown.
    """
    from babel.core import get_global, parse_locale

    try:
        language, region, written, variant, *_ = parse_locale(code.replace("_", "-"), sep="-")
    except ValueError:
        return None
    if variant is not None:
        return None
    aliases, likely = get_global("language_aliases"), get_global("likely_subtags")
    if not _is_language(language):
        of_two_letters = (short for short in known_languages() if aliases.get(short) == language)
        language, _, meant, *_ = parse_locale(aliases.get(language) or next(of_two_letters, language))
        written = written or meant
    if not _is_language(language) or (written and written not in _names("scripts", 4)):
        return None
    if written is None and f"{language}_{region}" in likely:
        written = parse_locale(likely[f"{language}_{region}"])[2]
    usual = script(language)
    written = written or usual
    usual_region = parse_locale(likely.get(f"{language}_{written}") or likely.get(language) or language)[1]
    if region in _names("territories", 2) and region != usual_region and written:
        return f"{language}-{written}-{region}"
    return language if written == usual else f"{language}-{written}"


def language_of(code: object, where: str) -> str:
    """`code`, a language that a data file names, where it is known. Raises DataError starting with `where`."""
    try:
        return check_language(code, where)
    except ConfigError as error:
        raise DataError(str(error)) from None


def resource_class(code: str) -> int | None:
    """Class of Joshi et al. 2020, from 0 (least data) to 5, in whatever script; None where unknown (languages.toml)."""
    found = _table("classes").get(code.partition("-")[0])
    return None if found is None else int(found)


def family(code: str) -> str | None:
    """Language family, such as "Indo-European"; None where it is unknown (languages.toml)."""
    return _table("families").get(code.partition("-")[0])


@cache
def script(code: str) -> str | None:
    """ISO 15924 code of the script that a code names, or that its language is most likely written in (CLDR)."""
    from babel.core import get_global, parse_locale

    language, named, _ = _parts(code)
    likely = get_global("likely_subtags").get(language)
    return named or (parse_locale(likely)[2] if likely else None)


def between_sentences(code: str) -> str:
    """What is written between two sentences of a language: nothing in Chinese and Japanese, else a space."""
    return "" if script(code) in ("Hani", "Hans", "Hant", "Jpan") else " "


def _parts(code: str) -> tuple[str, str | None, str | None]:
    """Language, script and region; None for what the code does not name."""
    language, *further = code.split("-", 2)
    return language, further[0] if further else None, further[1] if len(further) > 1 else None


@cache
def _table(part: str) -> dict[str, str]:
    """Code -> value, of one part of languages.toml."""
    content = tomllib.loads(files("mixlingua").joinpath("languages.toml").read_text(encoding="utf-8"))
    return {code: value for value, codes in content[part].items() for code in codes.split()}
