"""Language codes (ISO 639-1, with a script and a region where they are needed), their English names (CLDR), and what
sets languages apart: resources, script, family."""

import tomllib
from functools import cache
from importlib.resources import files

from mixlingua.errors import ConfigError, DataError, suggest


@cache
def known_languages() -> dict[str, str]:
    """Every two-letter code that CLDR names, with its English name."""
    from babel import Locale

    return {code: name for code, name in Locale("en").languages.items() if len(code) == 2}


@cache
def known_scripts() -> dict[str, str]:
    """Every four-letter script code that CLDR names, with its English name."""
    from babel import Locale

    return dict(Locale("en").scripts)


@cache
def known_regions() -> dict[str, str]:
    """Every two-letter region code that CLDR names, with its English name."""
    from babel import Locale

    return {code: name for code, name in Locale("en").territories.items() if len(code) == 2}


def two_letter(code: str) -> str:
    """The ISO 639-1 code of an ISO 639-3 one, such as "de" for "deu" or "fa" for "pes" (CLDR); others as they are."""
    from babel.core import get_global

    return str(get_global("language_aliases").get(code, code)) if len(code) == 3 else code


def language_name(code: str) -> str:
    """The English name of a code, such as "German" for "de" or "Chinese (Traditional)" for "zh-Hant"; the code itself
    where CLDR has no name."""
    language, script, region = _parts(code)
    name = known_languages().get(language, language)
    further = [names.get(part, part) for part, names in ((script, known_scripts()), (region, known_regions())) if part]
    return f"{name} ({', '.join(further)})" if further else name


def check_language(code: str, where: str) -> str:
    """Return `code` if it is a known ISO 639-1 code, or one with a script ("zh-Hant", "hi-Latn") and perhaps a region
    ("zh-Hant-HK").

    A script tells a second way to write a language from the usual one, which goes without (zh is Simplified Chinese); a
    region tells a variety in that script from another. `where` is the config key or file the code came from. Raises
    ConfigError naming it, with the nearest code or name.
    """
    known = known_languages()
    language, script, region = _parts(code)
    if language in known and (script is None or script in known_scripts()):
        if region is None or region in known_regions():
            return code
        raise ConfigError(f"{where}: unknown region in '{code}'; use an ISO 3166-1 code, as in 'zh-Hant-HK'.")
    by_name = {name.lower(): known_code for known_code, name in known.items()}
    if code.lower() in by_name:
        raise ConfigError(f"{where}: unknown language '{code}'; use its ISO 639-1 code '{by_name[code.lower()]}'.")
    if language in known:
        near = suggest(code, [f"{language}-{name}" for name in known_scripts()])
        raise ConfigError(f"{where}: unknown script in '{code}'; use an ISO 15924 code, as in '{language}-Latn'.{near}")
    raise ConfigError(f"{where}: unknown language '{code}'; use ISO 639-1 codes such as 'de'.{suggest(code, known)}")


def language_of(code: object, where: str) -> str:
    """`code`, a language that a data file names, where it is known. Raises DataError starting with `where`."""
    if not isinstance(code, str):
        raise DataError(f"{where}: a language must be an ISO 639-1 code such as 'de', not {code!r}.")
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


def _parts(code: str) -> tuple[str, str | None, str | None]:
    """Language, script and region; None for what the code does not name."""
    language, *further = code.split("-", 2)
    return language, further[0] if further else None, further[1] if len(further) > 1 else None


@cache
def _table(part: str) -> dict[str, str]:
    """Code -> value, of one part of languages.toml."""
    content = tomllib.loads(files("mixlingua").joinpath("languages.toml").read_text(encoding="utf-8"))
    return {code: value for value, codes in content[part].items() for code in codes.split()}
