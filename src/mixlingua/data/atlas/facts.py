"""The facts of atlas: what CLDR says about countries, cities, languages and currencies that every language can name.

Facts and most names come from CLDR, in the package babel. templates/ holds sentences and corrections of names for each
language; world.toml holds what CLDR lacks and what is left out by hand.
"""

import re
import tomllib
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date
from functools import cache
from importlib.resources import files
from typing import Any

from babel import Locale
from babel.core import get_global
from babel.localedata import locale_identifiers
from babel.numbers import get_currency_name

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
class Fact:
    """One thing that a passage states and a question asks for.

    kind: a key of KINDS. subject, answer: entities such as "country:DE" or "day:0". home: the country, or the
    currency of several countries, with which the fact goes to training or evaluation. slots: language -> slot -> text.
    """

    kind: str
    subject: str
    answer: str
    home: str
    slots: dict[str, dict[str, str]]

    @property
    def id(self) -> str:
        return f"{self.kind}/{self.subject.partition(':')[2]}"


@cache
def load_facts() -> tuple[Fact, ...]:
    """Every fact that all languages can name, in a fixed order.

    Left out: what world.toml leaves out, names missing or unsuited in a language, and subjects that share their name
    with another subject in some language, since a question about them would have two answers.
    """
    world = tomllib.loads(_read("world.toml"))
    left_out = world["leave_out"]
    facts = []
    for kind, subject, answer, home in _cldr_facts(world):
        slots = _fill(KINDS[kind], (subject, answer))
        if slots is not None and subject not in left_out.get(kind, ()):
            subject_slot, answer_slot = KINDS[kind]
            facts.append(Fact(kind, f"{subject_slot}:{subject}", f"{answer_slot}:{answer}", home, slots))
    ambiguous = _ambiguous_subjects(facts)
    return tuple(fact for fact in facts if fact.subject not in ambiguous)


def _fill(slots: tuple[str, str], keys: tuple[str, str]) -> dict[str, dict[str, str]] | None:
    """The text of every slot in every language; None where a language cannot name one."""
    filled: dict[str, dict[str, str]] = {}
    for language, names in _all_names().items():
        texts = [names.name(slot, key) for slot, key in zip(slots, keys, strict=True)]
        if None in texts:
            return None
        filled[language] = dict(zip(slots, texts, strict=True))  # type: ignore[arg-type]
    return filled


def _ambiguous_subjects(facts: Iterable[Fact]) -> set[str]:
    """Subjects whose name in some language is also that of another subject of the same sort.

    Countries and cities are one sort. (In Thai a country and its language share a name; templates say which is meant.)
    """
    bearers: dict[tuple[str, str, str], set[str]] = defaultdict(set)
    for fact in facts:
        slot = KINDS[fact.kind][0]
        sort = "place" if slot in ("country", "city") else slot
        for language, texts in fact.slots.items():
            bearers[language, sort, texts[slot].casefold()].add(fact.subject)
    return {subject for subjects in bearers.values() if len(subjects) > 1 for subject in subjects}


def _cldr_facts(world: dict[str, Any]) -> Iterator[tuple[str, str, str, str]]:
    """(kind, subject key, answer key, home) of every fact that CLDR states, whether or not it can be named."""
    regions = {country: region for region, members in world["regions"].items() for country in members.split()}
    countries = sorted(regions)
    yield from (("currency", country, code, country) for country, code in _currencies(countries).items())
    for country in countries:
        official = _official_languages(country)
        if len(official) == 1:
            yield "official_language", country, official[0], country
    yield from (("region", country, regions[country], country) for country in countries)
    yield from (("first_day", country, day, country) for country, day in _first_days(countries).items())
    yield from (("country_code", country, country, country) for country in countries)
    zone_countries, zone_aliases = get_global("zone_territories"), get_global("zone_aliases")
    for area, cities in world["cities"].items():
        for zone in (f"{area}/{city}" for city in cities.split()):
            country = zone_countries[zone_aliases.get(zone, zone)]
            yield "city", zone, country, country
    nationally_official = {language for country in countries for language in _official_languages(country)}
    for language in world["languages"]["codes"].split():
        yield from _language_facts(language, nationally_official)
    users = defaultdict(list)
    for country, code in _currencies(countries).items():
        users[code].append(country)
    for code, members in sorted(users.items()):
        yield "currency_code", code, code, members[0] if len(members) == 1 else code


def _language_facts(language: str, nationally_official: set[str]) -> Iterator[tuple[str, str, str, str]]:
    _, script, home = get_global("likely_subtags")[language].split("_")
    locales = locale_identifiers()
    variants = {locale.split("_")[1] for locale in locales if locale.startswith(f"{language}_")}
    if all(len(variant) != 4 or variant == script for variant in variants):
        yield "script", language, script, home
    # Passages on a country's official language would answer this question as well.
    if language not in nationally_official:
        yield "home", language, home, home
    own_name = Locale.parse(language).languages.get(language) if language in locales else None
    if own_name and own_name.casefold() not in _names_of_language(language):
        yield "own_name", language, own_name, home


def _names_of_language(language: str) -> set[str]:
    return {(names.name("language", language) or "").casefold() for names in _all_names().values()}


_OFFICIAL = ("official", "de_facto_official")


@cache
def _official_languages(country: str) -> tuple[str, ...]:
    """Languages with official status in the whole country, script variants counted once."""
    spoken = get_global("territory_languages").get(country, {})
    official = (tag.partition("_")[0] for tag, about in spoken.items() if about["official_status"] in _OFFICIAL)
    return tuple(dict.fromkeys(official))


def _currencies(countries: Iterable[str]) -> dict[str, str]:
    """The legal tender of each country that has exactly one."""
    currencies = {}
    for country in countries:
        rows: list[tuple[str, date | None, date | None, bool]] = get_global("territory_currencies")[country]
        current = [code for code, _, until, tender in rows if tender and until is None]
        if len(current) == 1:
            currencies[country] = current[0]
    return currencies


def _first_days(countries: Iterable[str]) -> dict[str, str]:
    """The first day of the week, 0 = Monday, of each country. CLDR states one for all languages of a country; the few
    exceptions are left out in world.toml."""
    every = map(Locale.parse, locale_identifiers())
    ours_last = sorted(every, key=lambda locale: locale.language in LANGUAGES)  # which are in memory for the names
    locales = {locale.territory: locale for locale in ours_last}
    return {country: str(locales[country].first_week_day) for country in countries if country in locales}


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


def _read(*path: str) -> str:
    """The text of a data file of this package."""
    return files(__package__).joinpath(*path).read_text(encoding="utf-8")


@cache
def load_templates() -> dict[str, Templates]:
    """The templates of every atlas language, in the order of LANGUAGES."""
    return {language: _parse(_read("templates", f"{language}.toml")) for language in LANGUAGES}


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


# Brackets, alternatives, spaced hyphens and abbreviations read badly inside a sentence.
_UNSUITED = re.compile(r"[()（）/]|\s[-–]\s|о-в")
# Where CLDR gives no exemplar city in these locales, the time zone's own last part is the name (UTS 35, part 4).
_CITY_BY_ZONE = frozenset({"de", "en", "es", "tr", "vi"})


class Names:
    """Names in one language, in the form in which its templates use them."""

    def __init__(self, language: str, templates: Templates) -> None:
        self._language = language
        self._templates = templates
        self._locale = Locale(language)

    def name(self, slot: str, key: str) -> str | None:
        """What fills `slot` for `key`, such as "Germany" for ("country", "DE").

        A slot without a table of names (code, own_name) is filled by its key. None where CLDR has no name, repeats
        the code as the name, or has one that does not fit into a sentence.
        """
        override = self._templates.names.get(slot, {}).get(key)
        if override is not None:
            return override
        name = self._from_cldr(slot, key)
        if name is None or _UNSUITED.search(name) or (name == key and slot not in ("code", "own_name")):
            return None
        name = name.replace("\N{SOFT HYPHEN}", "")
        return name[0].lower() + name[1:] if slot in self._templates.lowercase else name

    def _from_cldr(self, slot: str, key: str) -> str | None:
        locale = self._locale
        match slot:
            case "country" | "region":
                return locale.territories.get(key)
            case "language":
                return locale.languages.get(key)
            case "script":
                return locale.scripts.get(key)
            case "currency":
                # The form after a numeral of one is the one for running text: "Swiss franc", not "Swiss Franc".
                return get_currency_name(key, count=1, locale=locale)
            case "day":
                return locale.days["stand-alone"]["wide"][int(key)]
            case "city":
                city = locale.time_zones.get(key, {}).get("city")
                if city is None and self._language in _CITY_BY_ZONE:
                    return key.rpartition("/")[2].replace("_", " ")
                return city
            case _:
                return key


@cache
def _all_names() -> dict[str, Names]:
    """The names of every atlas language."""
    return {language: Names(language, templates) for language, templates in load_templates().items()}
