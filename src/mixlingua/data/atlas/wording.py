"""The sentence templates of atlas: one TOML file per language in the folder `templates`, shipped with the package."""

import tomllib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

LANGUAGES = ("ar", "de", "el", "en", "es", "hi", "ru", "th", "tr", "vi", "zh")

# Each kind of fact: what a question asks about, and what its passage answers. Questions contain the first slot only.
KINDS = {
    "currency": ("country", "currency"),
    "official_language": ("country", "language"),
    "region": ("country", "region"),
    "first_day": ("country", "day"),
    "country_code": ("country", "code"),
    "city": ("city", "country"),
    "script": ("language", "script"),
    "home": ("language", "country"),
    "own_name": ("language", "own_name"),
    "currency_code": ("currency", "code"),
}


@dataclass(frozen=True, slots=True)
class Templates:
    """The templates of one language.

    questions and passages: kind -> phrasings with {slots}; phrasing i means the same in every language.
    names: slot -> key -> the name that replaces CLDR's. lowercase: slots whose names start in lower case mid-sentence.
    """

    questions: dict[str, tuple[str, ...]]
    passages: dict[str, tuple[str, ...]]
    names: dict[str, dict[str, str]]
    lowercase: frozenset[str]


def read_data(*path: str) -> str:
    """The text of a data file of this package."""
    return files(__package__).joinpath(*path).read_text(encoding="utf-8")


@cache
def load_templates() -> dict[str, Templates]:
    """The templates of every atlas language, in the order of LANGUAGES."""
    return {language: _parse(read_data("templates", f"{language}.toml")) for language in LANGUAGES}


def _parse(text: str) -> Templates:
    content = tomllib.loads(text)
    names = content.get("names", {})
    lowercase = frozenset(names.pop("lowercase", ()))
    return Templates(
        questions={kind: tuple(content[kind]["questions"]) for kind in KINDS},
        passages={kind: tuple(content[kind]["passages"]) for kind in KINDS},
        names=names,
        lowercase=lowercase,
    )
