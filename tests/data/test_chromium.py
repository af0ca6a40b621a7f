import struct

import pytest

from mixlingua.data.readers.chromium import ChromiumReader, as_text
from mixlingua.data.readers.datapack import read_datapack
from mixlingua.errors import ConfigError, DataError


def datapack(texts, aliases=(), encoding=1, version=5):
    """The bytes of a data pack, by the layout that Chromium documents."""
    codec = {1: "utf-8", 2: "utf-16-le"}[encoding]
    parts = [text if isinstance(text, bytes) else text.encode(codec) for text in texts.values()]
    begin = 12 + 6 * (len(texts) + 1) + 4 * len(aliases)
    ends = [begin + sum(map(len, parts[:index])) for index in range(len(parts) + 1)]
    content = struct.pack("<IBxxxHH", version, encoding, len(texts), len(aliases))
    for number, start in zip([*texts, 0], ends, strict=True):
        content += struct.pack("<HI", number, start)
    for number, index in aliases:
        content += struct.pack("<HH", number, index)
    return content + b"".join(parts)


MESSAGES = {
    "en-US": {
        1: "Open",
        2: "Do you want to open $1?",
        3: "E&xit this window <b>now</b>.<br>Really",
        4: "{N, plural, =1{Close one tab of this} other{Close # tabs}}",
        7: "Do you want to open $1?",
        9: "Google Chrome for Linux users",
    },
    "de": {
        1: "Öffnen",
        2: "Möchtest du $1 öffnen?",
        3: "Alles &amp; mehr schließen (&X)",
        9: "Google Chrome for Linux users",
    },
    "zh-CN": {2: "要打开 {NAME} 吗？"},
    "es-419": {2: "¿Abrir?"},
    "de_FEMININE": {2: "Nein"},
}


@pytest.fixture
def folder(tmp_path):
    for locale, texts in MESSAGES.items():
        (tmp_path / f"{locale}.pak").write_bytes(datapack(texts))
    return tmp_path


@pytest.mark.parametrize("encoding", [1, 2])
def test_a_data_pack_gives_its_texts_by_number(tmp_path, encoding):
    file = tmp_path / "th.pak"
    page = b"\x1f\x8b\x08\x00"
    file.write_bytes(datapack({3: "เปิด", 5: "", 8: page, 9: "end"}, aliases=[(12, 0), (13, 2)], encoding=encoding))
    assert read_datapack(file) == {3: "เปิด", 5: "", 9: "end", 12: "เปิด"}


def test_files_that_are_no_data_packs_are_named(tmp_path):
    file = tmp_path / "de.pak"
    good = datapack({1: "ä", 2: "öl"})
    cases = (
        (b"", "not a data pack"),
        (good[:20], "not a data pack"),
        (good[:-1], "its texts end at"),
        (datapack({1: "x"}, version=4), "version 4"),
    )
    for content, message in (*cases, (datapack({1: b"\xff"}), "damaged"), (datapack({1: "x"}, [(2, 7)]), "damaged")):
        file.write_bytes(content)
        with pytest.raises(DataError, match=rf"de\.pak: .*{message}"):
            read_datapack(file)


def test_a_message_is_what_its_reader_sees():
    assert as_text("E&xit <b>now</b>.<br />Or <a href='#'>later</a>") == "Exit now. Or later"
    assert as_text("保存(&S)…\n ok") == "保存… ok"
    assert as_text("$1 &lt; {COUNT} &amp; R&amp;D") == "… < … & R&D"
    assert as_text("if 2 < 3, then 4 > 3") == "if 2 < 3, then 4 > 3"
    assert as_text("{N, plural, =1{one} other{#}}") is None


def test_rows_are_the_translated_messages(folder):
    rows = list(ChromiumReader(folder, min_words=4).rows())
    assert [(row.id, row.queries) for row in rows] == [
        ("2", {"en": "Do you want to open …?", "de": "Möchtest du … öffnen?", "zh": "要打开 … 吗？"}),
        ("3", {"en": "Exit this window now. Really", "de": "Alles & mehr schließen"}),
        ("9", {"en": "Google Chrome for Linux users"}),
    ]
    assert all(row.passages == row.queries and row.passages is not row.queries for row in rows)
    assert [row.id for row in ChromiumReader(folder, min_words=1).rows()] == ["1", "2", "3", "9"]


def test_the_fingerprint_follows_files_and_options(folder):
    first = ChromiumReader(folder, min_words=4).fingerprint()
    assert (
        first == ChromiumReader(folder, min_words=4).fingerprint() != ChromiumReader(folder, min_words=3).fingerprint()
    )
    (folder / "de.pak").write_bytes(datapack({1: "Auf"}))
    assert ChromiumReader(folder, min_words=4).fingerprint() != first


def test_british_english_serves_where_american_is_not_there(folder):
    (folder / "en-US.pak").rename(folder / "en-GB.pak")
    assert len(list(ChromiumReader(folder, min_words=4).rows())) == 3
    (folder / "en-GB.pak").unlink()
    with pytest.raises(DataError, match=r"no en-US\.pak or en-GB\.pak.*data\.sources\.chromium\.path"):
        ChromiumReader(folder, min_words=4).fingerprint()


def test_what_is_missing_is_said_with_the_way_out(tmp_path, monkeypatch):
    with pytest.raises(DataError, match=r"no <locale>\.pak files"):
        ChromiumReader(tmp_path / "absent", min_words=4).fingerprint()
    monkeypatch.setattr("mixlingua.data.readers.chromium.PACKAGE", "no-such-distribution")
    with pytest.raises(DataError, match=r"path is null.*pip install PyQt6-WebEngine-Qt6"):
        ChromiumReader(None, min_words=4).fingerprint()
    with pytest.raises(ConfigError, match="min_words is 0"):
        ChromiumReader(tmp_path, min_words=0)
