"""Sources that are made of published translations: Debian's descriptions and LibreOffice's help."""

import bz2
import io
import lzma
import tarfile

import pytest

from mixlingua.data.public_corpora import public_files
from mixlingua.data.readers.debian import DebianReader
from mixlingua.data.readers.libreoffice import LibreOfficeReader
from mixlingua.errors import ConfigError, DataError
from mixlingua.files import sha256

DESCRIPTIONS = {
    "en": [
        ("a1", "a tool", "Does one thing.\n .\n  And another,\n at length."),
        ("b2", "a library", "Has functions."),
        ("c3", "a game", "Is played."),
        ("", "nameless", "Text."),
        ("d4", "no more", ""),
    ],
    "de": [
        ("a1", "Ein Werkzeug: gut", "Tut etwas."),
        ("b2", "eine Bibliothek", "Has functions."),
        ("x9", "alt", "Alt."),
    ],
    "fr": [("a1", "un outil", "Fait une chose."), ("b2", "une bibliothèque", "A des fonctions.")],
}


def translation(language: str) -> bytes:
    paragraphs = (
        f"Package: p{key}\n"
        + (f"Description-md5: {key}\n" if key else "")
        + f"Description-{language}: {short}\n"
        + (f" {long}\n" if long else "")
        for key, short, long in DESCRIPTIONS[language]
    )
    return "\n".join(paragraphs).encode()


@pytest.fixture
def debian(tmp_path):
    for language in DESCRIPTIONS:
        name = public_files()["debian"][language]
        (tmp_path / name).write_bytes((lzma if name.endswith(".xz") else bz2).compress(translation(language)))
    return tmp_path


def test_short_descriptions_ask_for_long_ones_in_the_languages_that_have_them(debian):
    first, second = DebianReader(debian, ["de", "en", "fr"], min_languages=2).rows()
    assert first.queries == {"en": "a tool", "de": "Ein Werkzeug: gut", "fr": "un outil"}
    assert first.passages["en"] == "Does one thing. And another, at length."
    assert (first.id, first.passage_id, first.split_key) == ("a1", "a1", "a1")
    assert second.passages == {"en": "Has functions.", "fr": "A des fonctions."}, "German was left in English"
    assert [row.id for row in DebianReader(debian, ["de", "en", "fr"], min_languages=3).rows()] == ["a1"]
    assert [row.id for row in DebianReader(debian, ["en"], min_languages=1).rows()] == ["a1", "b2", "c3"]


def test_fingerprints_follow_files_and_options(debian):
    def fingerprint(languages=("de", "en"), min_languages=2):
        return DebianReader(debian, languages, min_languages).fingerprint()

    before = fingerprint()
    assert before == fingerprint()
    (debian / "Translation-de.bz2").write_bytes(bz2.compress(b""))
    assert len({before, fingerprint(), fingerprint(("en", "fr")), fingerprint(min_languages=1)}) == 4


def test_bad_options_and_damaged_files_are_named(debian):
    with pytest.raises(
        ConfigError, match=r"data.sources.debian.published.languages: no language 'deu'; there are .* Did you"
    ):
        DebianReader(debian, ["deu", "en"], 2)
    with pytest.raises(ConfigError, match=r"languages: 'en' is given more than once"):
        DebianReader(debian, ["en", "de", "en"], 3)
    with pytest.raises(ConfigError, match=r"languages=\[de\]: English, en, must be among them"):
        DebianReader(debian, ["de"], 1)
    for number in (0, 3):
        with pytest.raises(ConfigError, match=f"min_languages is {number}; it must be at least 1, and 2"):
            DebianReader(debian, ["de", "en"], number)
    for name in ("Translation-de.bz2", "Translation-en.xz"):
        whole = (debian / name).read_bytes()
        for damaged in (whole[:-9], b"<html>Not found</html>"):
            (debian / name).write_bytes(damaged)
            with pytest.raises(DataError, match=f"{name}: damaged or incomplete archive"):
                list(DebianReader(debian, ["de", "en"], 2).rows())
        (debian / name).write_bytes(whole)


def test_what_is_not_there_is_fetched_and_must_be_what_was_published(debian, network, monkeypatch, tmp_path):
    monkeypatch.setenv("MIXLINGUA_CACHE", str(tmp_path / "cache"))
    (debian / "Translation-de.bz2").rename(tmp_path / "kept")
    reader = DebianReader(debian, ["de", "en"], 2)
    with pytest.raises(DataError, match=r"data.sources.debian needs Translation-de.bz2: it is not in .* or run once"):
        reader.fingerprint()
    network["main/i18n/Translation-de.bz2"] = (tmp_path / "kept").read_bytes()
    with pytest.raises(DataError, match=r"i18n/Translation-de.bz2: what was fetched is not the published file"):
        reader.fingerprint()
    assert not list((tmp_path / "cache").rglob("*.bz2"))
    monkeypatch.setitem(public_files()["checksums"], "Translation-de.bz2", sha256(tmp_path / "kept"))
    assert [row.queries["de"] for row in reader.rows()] == ["Ein Werkzeug: gut"]
    network.clear()
    assert len(list(reader.rows())) == 1, "it is kept"


def page(body: str) -> str:
    return (
        "<html><body><header><h1>Help</h1><p>Contents</p></header>"
        f'<div id="DisplayArea"><div><meta>{body}</div></div>'
        '<footer><h3 id="bug">Debug</h3><p>This page</p></footer></body></html>'
    )


PAGES = {
    "en": {
        "swriter/01/a.html": page(
            '<p>Before.</p><h1 id="t">Inserting <b>a</b>\n Table</h1><p>Choose <span class="switchinline">'
            '<span hidden="true" id="MAC_1" class="MAC"><span>Preferences</span></span>'
            '<span hidden="true" id="default_1"><span>Options</span></span></span>.</p><pre>code()</pre>'
            '<p>Then &amp; there.</p><h2 id="empty">Empty</h2>'
            '<h3 id="s">Steps</h3><ol><li><p>One.</p></li><li><p>Two.</p></li></ol>'
            '<span hidden="true" id="CALC_1"><h4 id="c">Calc</h4><p>Not here.</p></span><p>Three.</p>'
            '<h2 id="s">Steps</h2><p>Again.</p><h2>Nameless</h2><p>Nothing.</p>'
        ),
        "b.html": page('<h1 id="t">Page b</h1><p>Only English.</p>'),
    },
    "de": {
        "swriter/01/a.html": page(
            '<h1 id="t">Tabelle einfügen</h1><p>Wählen Sie.</p><h3 id="s">Schritte</h3><p>Eins.</p>'
        ),
        "b.html": page('<h1 id="t">Seite b</h1><p>Only English.</p>'),
    },
}  # fmt: skip
LOCALES = {"en": "en-US", "de": "de"}


def member(name: str, content: bytes) -> bytes:
    header = f"{name:<16}{0:<12}{0:<6}{0:<6}{'100644':<8}{len(content):<10}`\n".encode()
    assert len(header) == 60
    return header + content + b"\n" * (len(content) % 2)


def package(files: dict[str, bytes]) -> bytes:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w:xz") as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(f"./usr/share/{name}")
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return b"!<arch>\n" + member("debian-binary", b"2.0\n!") + member("data.tar.xz", data.getvalue())


@pytest.fixture
def lohelp(tmp_path):
    for language, pages in PAGES.items():
        files = {f"help/{LOCALES[language]}/text/{name}": text.encode() for name, text in pages.items()}
        files |= {f"help/{LOCALES[language]}/noscript.html": page('<h1 id="x">X</h1><p>Y</p>').encode(), "a.js": b"1"}
        (tmp_path / public_files()["lohelp"][language]).write_bytes(package(files))
    return tmp_path


def test_headings_ask_for_the_text_of_their_section(lohelp):
    steps, title = LibreOfficeReader(lohelp, ["de", "en"], min_languages=2).rows()
    assert title.id == "swriter/01/a.html#t" and title.split_key == "swriter/01/a.html"
    assert title.queries == {"en": "Inserting a Table", "de": "Tabelle einfügen"}
    assert title.passages == {"en": "Choose Options. Then & there.", "de": "Wählen Sie."}
    assert steps.queries == {"en": "Inserting a Table: Steps", "de": "Tabelle einfügen: Schritte"}
    assert steps.passages["en"] == "One. Two. Three."
    every = [row.id for row in LibreOfficeReader(lohelp, ["en"], min_languages=1).rows()]
    assert every == ["b.html#t", "swriter/01/a.html#s", "swriter/01/a.html#t"]


@pytest.mark.parametrize("damage", ["cut", "no package", "no data"])
def test_damaged_packages_are_named(lohelp, damage):
    name = public_files()["lohelp"]["de"]
    whole = (lohelp / name).read_bytes()
    (lohelp / name).write_bytes(
        {"cut": whole[:-40], "no package": b"<html>", "no data": whole[: whole.index(b"data.tar")]}[damage]
    )
    with pytest.raises(DataError, match=r"all\.deb: damaged or incomplete package"):
        list(LibreOfficeReader(lohelp, ["de", "en"], 2).rows())
