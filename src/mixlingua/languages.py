"""Language codes (ISO 639-1, with an ISO 15924 script where one is needed) and their English names, from CLDR."""

from functools import cache

from mixlingua.errors import ConfigError, suggest


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


def language_name(code: str) -> str:
    """The English name of a code, such as "German" for "de" or "Chinese (Traditional)" for "zh-Hant"; the code itself
    where CLDR has no name."""
    language, _, script = code.partition("-")
    name = known_languages().get(language, language)
    return f"{name} ({known_scripts().get(script, script)})" if script else name


def check_language(code: str, where: str) -> str:
    """Return `code` if it is a known ISO 639-1 code, or one with a script: "zh-Hant", "hi-Latn".

    A script tells a second way to write a language from the usual one, which goes without (zh is Simplified Chinese).
    `where` is the config key or file the code came from. Raises ConfigError naming it, with the nearest code or name.
    """
    known = known_languages()
    language, dash, script = code.partition("-")
    if language in known and (not dash or script in known_scripts()):
        return code
    by_name = {name.lower(): known_code for known_code, name in known.items()}
    if code.lower() in by_name:
        raise ConfigError(f"{where}: unknown language '{code}'; use its ISO 639-1 code '{by_name[code.lower()]}'.")
    if language in known:
        near = suggest(code, [f"{language}-{name}" for name in known_scripts()])
        raise ConfigError(f"{where}: unknown script in '{code}'; use an ISO 15924 code, as in '{language}-Latn'.{near}")
    raise ConfigError(f"{where}: unknown language '{code}'; use ISO 639-1 codes such as 'de'.{suggest(code, known)}")
