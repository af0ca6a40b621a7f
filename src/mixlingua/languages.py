"""Language codes (ISO 639-1) and their English names, from the CLDR data in babel."""

from functools import cache

from mixlingua.errors import ConfigError, suggest


@cache
def known_languages() -> dict[str, str]:
    """Every two-letter code that CLDR names, with its English name."""
    from babel import Locale

    return {code: name for code, name in Locale("en").languages.items() if len(code) == 2}


def language_name(code: str) -> str:
    """The English name of a code, such as "German" for "de"; the code itself where CLDR has no name."""
    return known_languages().get(code, code)


def check_language(code: str, where: str) -> str:
    """Return `code` if it is a known ISO 639-1 code.

    `where` is the config key or file the code came from. Raises ConfigError naming it, with the nearest code or name.
    """
    known = known_languages()
    if code in known:
        return code
    by_name = {name.lower(): known_code for known_code, name in known.items()}
    if code.lower() in by_name:
        raise ConfigError(f"{where}: unknown language '{code}'; use its ISO 639-1 code '{by_name[code.lower()]}'.")
    raise ConfigError(f"{where}: unknown language '{code}'; use ISO 639-1 codes such as 'de'.{suggest(code, known)}")
