"""The help of LibreOffice, which its volunteers translate: the heading of a section asks for its text.

Source: the packages libreoffice-help-* of Debian 12.15 (LibreOffice 7.4). Licence: MPL-2.0 or LGPL-3+.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path

from mixlingua.data.readers.deb import installed_files
from mixlingua.data.readers.translated import TranslatedReader

_PAGES = "/text/"  # what follows it in a path is the same in all languages
_HEADINGS = ("h1", "h2", "h3", "h4", "h5", "h6")


class LibreOfficeReader(TranslatedReader):
    """A row for each section of a page that has text; of those with one name in a page the first. Files: the packages.

    The query is the section's heading, after that of the page, and the passage its paragraphs, without code. Where text
    differs from system to system, it is that of Linux.
    """

    table = "lohelp"
    url = "https://deb.debian.org/debian/pool/main/libr/libreoffice"
    version = "1"

    def texts(self, file: Path) -> Iterator[tuple[str, tuple[str, str]]]:
        """`page#section`, heading and text of each section."""
        for installed, content in installed_files(file, ".html"):
            page = installed.partition(_PAGES)[2]
            named: dict[str, tuple[str, str]] = {}
            for name, *texts in _sections(content.decode("utf-8", errors="replace")):
                named.setdefault(name, (texts[0], texts[1]))
            yield from ((f"{page}#{name}", texts) for name, texts in named.items() if page)


def _sections(html: str) -> Iterator[tuple[str, str, str]]:
    """Name, heading and text of the sections of a page."""
    page = _Page()
    page.feed(html)
    page.close()
    title = ""
    for section in page.sections:
        heading, text = (" ".join("".join(pieces).split()) for pieces in (section.heading, section.text))
        if section.name and heading and text:
            yield section.name, f"{title}: {heading}" if title else heading, text
        title = title or heading


@dataclass
class _Section:
    name: str
    heading: list[str] = field(default_factory=list)
    text: list[str] = field(default_factory=list)


class _Page(HTMLParser):
    """Collects the sections of a page, which are in its element DisplayArea."""

    def __init__(self) -> None:
        super().__init__()
        self.sections: list[_Section] = []
        self._divisions = 0  # open <div>s, from DisplayArea inwards
        self._spans: list[bool] = []  # of the open ones, whether they are hidden
        self._pieces: list[str] | None = None  # of what is being read

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = dict(attrs)
        name = attributes.get("id") or ""
        if tag == "div" and (self._divisions or name == "DisplayArea"):
            self._divisions += 1
        elif tag == "span":
            # Where systems differ, all cases are hidden at first; a browser then shows one of them, or the default.
            self._spans.append("hidden" in attributes and not name.startswith("default"))
        elif self._divisions and not any(self._spans):
            if tag in _HEADINGS:
                self.sections.append(_Section(name))
                self._pieces = self.sections[-1].heading
            elif tag == "p" and self.sections:
                self._pieces = self.sections[-1].text

    def handle_endtag(self, tag: str) -> None:
        if tag == "div" and self._divisions:
            self._divisions -= 1
        elif tag == "span" and self._spans:
            self._spans.pop()
        elif self._pieces is not None and (tag == "p" or tag in _HEADINGS):
            self._pieces.append(" ")
            self._pieces = None

    def handle_data(self, data: str) -> None:
        if self._pieces is not None and not any(self._spans):
            self._pieces.append(data)
