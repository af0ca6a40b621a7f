"""Names of countries, currencies, languages and so on in the languages of atlas, from CLDR through babel."""

import re
from functools import cache

from babel import Locale

from mixlingua.data.atlas.wording import Templates, load_templates

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
        found = self._from_cldr(slot, key)
        if found is None or _UNSUITED.search(found) or (found == key and slot not in ("code", "own_name")):
            return None
        name = found.replace("\N{SOFT HYPHEN}", "")
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
                # The form after a numeral of one or more is the one for running text: "Swiss franc", not "Swiss Franc".
                counted = locale._data["currency_names_plural"].get(key, {})
                return counted.get("one") or counted.get("other") or locale.currencies.get(key)
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
def all_names() -> dict[str, Names]:
    """The names of every atlas language."""
    return {language: Names(language, templates) for language, templates in load_templates().items()}
