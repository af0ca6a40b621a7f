"""Reading files: what is no text, and what is too large to be one."""

import gzip
import tracemalloc

import pytest

from mixlingua import reading
from mixlingua.data.readers.jsonl import JsonlReader
from mixlingua.data.readers.parallel import ParallelReader
from mixlingua.data.readers.squad import SquadReader
from mixlingua.errors import DataError
from mixlingua.files import write_json
from mixlingua.reading import read_json, read_lines


def packed(path, size, start=b""):
    """A .gz of `size` equal bytes behind a start, which is small itself."""
    with gzip.open(path, "wb", compresslevel=1) as file:
        file.write(start)
        for _ in range(size >> 20):
            file.write(b"x" * (1 << 20))
    return path


def test_a_line_without_end_is_refused_before_it_fills_the_memory(tmp_path):
    path = packed(tmp_path / "bomb.jsonl.gz", 512 << 20, b"first\n")
    assert path.stat().st_size < 4 << 20
    tracemalloc.start()
    with pytest.raises(DataError, match=r"bomb\.jsonl\.gz:2: the line has more than 67,108,864 bytes, the limit"):
        list(read_lines(path))
    assert tracemalloc.get_traced_memory()[1] < 200 << 20
    tracemalloc.stop()


@pytest.mark.parametrize(
    "read",
    [
        lambda path: list(JsonlReader(path).rows()),
        lambda path: list(ParallelReader(path).rows()),
        lambda path: JsonlReader({"de": path}).fingerprint(),
    ],
)
def test_readers_of_lines_have_the_limit(tmp_path, read, monkeypatch):
    monkeypatch.setattr(reading, "MAX_LINE_BYTES", 1 << 20)
    with pytest.raises(DataError, match=r"x\.jsonl\.gz:1: the line has more than 1,048,576 bytes"):
        read(packed(tmp_path / "x.jsonl.gz", 2 << 20))


def test_a_file_has_a_limit_too(tmp_path, monkeypatch):
    (tmp_path / "de.json").write_text("[1]\n" * 100)
    monkeypatch.setattr(reading, "MAX_FILE_BYTES", 80)
    monkeypatch.setattr(reading, "MAX_WHOLE_BYTES", 80)
    with pytest.raises(DataError, match=r"de\.json:21: the file has more than 80 bytes"):
        list(read_lines(tmp_path / "de.json"))
    with pytest.raises(DataError, match=r"de\.json: the file has more than 80 bytes"):
        read_json(tmp_path / "de.json")
    with pytest.raises(DataError, match=r"de\.json: the file has more than 80 bytes"):
        list(SquadReader(tmp_path).rows())


def test_lines_at_the_limit_are_read(tmp_path, monkeypatch):
    monkeypatch.setattr(reading, "MAX_LINE_BYTES", 8)
    (tmp_path / "x").write_bytes(b"1234567\n12345678")
    assert [line for _, line in read_lines(tmp_path / "x")] == ["1234567", "12345678"]


@pytest.mark.parametrize("field", ["id", "passages", "negatives", "unknown"])
def test_half_a_surrogate_pair_is_refused_wherever_it_stands(tmp_path, field):
    """It is no character: tokenizers and Arrow files take it for none, and end in a traceback."""
    row = {
        "id": '"1"',
        "queries": '{"de": "q"}',
        "passages": '{"de": "p \\ud83d\\ude00"}',
        "negatives": '{"de": ["n"]}',
    }
    broken = {"id": '"\\ud83d"', "passages": '{"de": "Nett \\uD83D"}', "negatives": '{"de": ["\\ude00"]}'}
    lines = [row, row | {"id": '"2"'} | {field: broken.get(field, '"\\ud83d"')}]
    texts = ["{" + ", ".join(f'"{name}": {value}' for name, value in line.items()) + "}" for line in lines]
    (tmp_path / "x.jsonl").write_text("\n".join(texts))
    with pytest.raises(DataError, match=r"x\.jsonl:2: half of a surrogate pair, .u(d83d|de00)"):
        list(JsonlReader(tmp_path / "x.jsonl").rows())


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ('{"de": "a", "de": "b", "en": "c"}', "the key 'de' stands 2 times in one object"),
        ("[" * 100_000 + "]" * 100_000, "nested too deeply"),
    ],
)
def test_json_that_would_lose_text_or_exhaust_the_stack_is_refused(tmp_path, value, message):
    row = '{"id": "1", "queries": {"de": "q"}, "passages": {"de": "p"}}'
    (tmp_path / "x.jsonl").write_text(f'{row}\n{{"id": "2", "queries": {value}, "passages": {{"de": "p"}}}}')
    (tmp_path / "de.json").write_text(f'{{"data": {value}}}')
    with pytest.raises(DataError, match=rf"x\.jsonl:2: malformed JSON \({message}\)"):
        list(JsonlReader(tmp_path / "x.jsonl").rows())
    with pytest.raises(DataError, match=rf"de\.json: malformed JSON \({message}\)"):
        read_json(tmp_path / "de.json")


def test_a_byte_order_mark_before_json_is_no_part_of_it(tmp_path):
    (tmp_path / "de.json").write_text('{"a": 1}', encoding="utf-8-sig")
    assert read_json(tmp_path / "de.json") == {"a": 1}


@pytest.mark.parametrize("reader", [JsonlReader, SquadReader])
def test_norwegian_that_yaml_reads_as_false_is_explained(tmp_path, reader):
    (tmp_path / "x").write_text("{}")
    with pytest.raises(DataError, match=r"data\.sources\.\w+\.path: False is no language.*'no'"):
        reader({False: tmp_path / "x", "en": tmp_path / "x"}).fingerprint()


def test_json_is_written_for_readers_whole_or_not_at_all(tmp_path):
    path = tmp_path / "new" / "x.json"
    write_json(path, {"Zürich": [1, "\n"]})
    assert path.read_text(encoding="utf-8") == '{\n "Zürich": [\n  1,\n  "\\n"\n ]\n}\n'
    write_json(path, ["a", 2.5], indent=None)
    assert path.read_bytes() == b'["a", 2.5]\n'
    with pytest.raises(ValueError, match="JSON compliant"):
        write_json(path, {"loss": float("nan")})
    assert read_json(path) == ["a", 2.5] and [file.name for file in path.parent.iterdir()] == ["x.json"]
