"""Small archives that unpack to more than a reader takes: refused before they fill the memory."""

import gzip
import tracemalloc
import zipfile

import pytest

from mixlingua import reading
from mixlingua.data.codeswitch.dictionaries import read_dictionary
from mixlingua.data.readers import sentences
from mixlingua.data.readers.sentences import read_tmx
from mixlingua.errors import DataError

LIMIT = 1 << 20
WORD = "abcdefgh" * 8


def tmx(folder, units):
    file = folder / "a.tmx.zip"
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        body = "".join(
            f'<tu tuid="x:{n}"><tuv xml:lang="de"><seg>{text}</seg></tuv></tu>' for n, text in enumerate(units)
        )
        archive.writestr("a.tmx", f'<tmx version="1.4"><header/><body>{body}</body></tmx>')
    return file


def test_a_unit_of_a_tmx_file_without_end_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(sentences, "MAX_LINE_BYTES", LIMIT)
    assert len(list(read_tmx(tmx(tmp_path, [WORD] * 40_000), "de"))) == 40_000, "5 MB in small units"
    file = tmx(tmp_path, ["short", WORD * 1_000_000])
    tracemalloc.start()
    with pytest.raises(
        DataError, match=r"a\.tmx\.zip: the unit that begins before byte [\d,]+ has more than 1,048,576"
    ):
        list(read_tmx(file, "de"))
    assert tracemalloc.get_traced_memory()[1] < 8 * LIMIT
    tracemalloc.stop()


def test_a_tmx_file_without_end_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(sentences, "MAX_FILE_BYTES", LIMIT)
    with pytest.raises(DataError, match=r"a\.tmx\.zip: the file has more than 1,048,576 bytes"):
        list(read_tmx(tmx(tmp_path, [WORD] * 40_000), "de"))


def test_a_packed_dictionary_without_end_is_refused(tmp_path, monkeypatch):
    file = tmp_path / "freedict-eng-deu.dict.dz"
    file.write_bytes(gzip.compress(WORD.encode() * 1_000_000))
    file.with_name("freedict-eng-deu.index").write_text("dog\tA\tC\n")
    monkeypatch.setattr(reading, "MAX_WHOLE_BYTES", LIMIT)
    tracemalloc.start()
    with pytest.raises(DataError, match=r"\.dict\.dz: the file has more than 1,048,576 bytes"):
        read_dictionary([file], "en")
    assert tracemalloc.get_traced_memory()[1] < 8 * LIMIT
    tracemalloc.stop()
