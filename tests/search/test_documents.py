"""Documents are read from every kind of file, with errors that name file and line; languages are given or detected."""

import gzip
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mixlingua.errors import ConfigError, DataError
from mixlingua.search.documents import UNDETERMINED, Atlas, Detector, Documents, Fields

from .conftest import document

ENTRIES = [
    {"id": "a", "title": "Nile", "text": "A river.", "language": "en"},
    {"id": 2, "text": "Ein Fluss.", "language": "deu"},
    {"id": "c", "title": None, "text": "Ποτάμι"},
]


def lines(path: Path, entries: list) -> str:
    with gzip.open(path, "wt", encoding="utf-8") if path.suffix == ".gz" else path.open("w", encoding="utf-8") as file:
        file.writelines(json.dumps(entry) + "\n" for entry in entries)
    return str(path)


@pytest.mark.parametrize("name", ["docs.jsonl", "docs.jsonl.gz", "docs.parquet"])
def test_entries_are_read_from_lines_and_tables_alike(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    if name.endswith("parquet"):
        pq.write_table(pa.Table.from_pylist([{**entry, "id": str(entry["id"])} for entry in ENTRIES]), path)
    else:
        lines(path, ENTRIES)
    read = list(Documents(str(path)).documents())
    assert [found[:4] for found in read] == [
        ("a", "Nile", "A river.", "en"), ("2", "", "Ein Fluss.", "de"), ("c", "", "Ποτάμι", None)
    ]  # fmt: skip
    assert read[1].where.endswith("row 2" if name.endswith("parquet") else f"{name}:2")


def test_fields_have_the_names_that_are_given(tmp_path: Path) -> None:
    path = lines(tmp_path / "docs.jsonl", [{"key": "x", "head": "H", "body": "B", "tongue": "pt-BR", "id": "other"}])
    fields = Fields(id="key", title="head", text="body", language="tongue")
    assert [found[:4] for found in Documents(path, fields).documents()] == [("x", "H", "B", "pt")]


@pytest.mark.parametrize("name", ["docs.jsonl", "docs.parquet", "docs.md"])
@pytest.mark.parametrize(("key", "given", "near"), [("language", "langauge", "lang"), ("title", "titel", "title")])
def test_a_field_that_is_nowhere_is_refused_by_its_key(
    tmp_path: Path, name: str, key: str, given: str, near: str
) -> None:
    entry = {"id": "a", "title": "Nile", "text": "A river.", "lang": "en"}
    if name.endswith("parquet"):
        pq.write_table(pa.Table.from_pylist([entry]), tmp_path / name)
    elif name.endswith("md"):
        (tmp_path / name).write_text("---\ntitle: Nile\nlang: en\n---\nA river.\n")
    else:
        lines(tmp_path / name, [entry])
    with pytest.raises(DataError, match=rf"corpus.fields.{key}=.*Did you mean '{near}'"):
        list(Documents(str(tmp_path / name), Fields(**{key: given})).documents())
    lines(tmp_path / "z.jsonl", [{"id": "b", "text": "Another."}, {"id": "c", "text": "One more.", given: "de"}])
    if not (name.endswith("parquet") and key == "language"):  # of a table, columns are known before
        assert len(list(Documents(str(tmp_path), Fields(**{key: given})).documents())) == 3


def test_a_folder_of_texts_with_titles_front_matter_and_hidden_files(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git" / "x.md").write_text("hidden")
    (tmp_path / "a.md").write_text("# Cairo #\r\n\r\nOn the Nile.\n")
    (tmp_path / "b.md").write_text("---\ntitle: Bern\nlang: de\n---\n# Stadt\nAn der Aare.\n")
    (tmp_path / "c.md").write_text("No heading.\n\n## Part\nMore.\n")
    (tmp_path / "sub" / "d.txt").write_text("\ufeffplain # text\n", encoding="utf-8")
    (tmp_path / "empty.md").write_text("\n")
    (tmp_path / "picture.png").write_bytes(b"\x89PNG")
    corpus = Documents(str(tmp_path))
    assert [found[:4] for found in corpus.documents()] == [
        ("a.md", "Cairo", "On the Nile.", None),
        ("b.md", "Bern", "# Stadt\nAn der Aare.", "de"),
        ("c.md", "c", "No heading.\n\n## Part\nMore.", None),
        ("empty.md", "", "", None),
        ("sub/d.txt", "d", "plain # text", None),
    ]
    assert corpus.describe()["files_passed_over"] == 1


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ('{"id": "a", "body": "x"}', 'docs.jsonl:2: no field "text"; it has id, body'),
        ('{"text": "x"}', "docs.jsonl:2: no id"),
        ('{"id": 1.5, "text": "x"}', "docs.jsonl:2: id is 1.5; it must be a text or a whole number"),
        ('{"id": "", "text": "x"}', "docs.jsonl:2: id is ''"),
        ('{"_id": true, "text": "x"}', "docs.jsonl:2: _id is True"),
        ('{"id": "a", "text": 5}', 'docs.jsonl:2: "text" is int'),
        ('{"id": "a", "text": "x", "language": "klingonese"}', "docs.jsonl:2: unknown language 'klingonese'"),
        ('{"id": "a", "text": "cut \\ud83d"}', "docs.jsonl:2: half of a surrogate pair"),
        ("{", "docs.jsonl:2: malformed JSON"),
        ("", "docs.jsonl:2: empty line"),
    ],
)
def test_wrong_entries_are_named_by_file_and_line(tmp_path: Path, entry: str, said: str) -> None:
    path = tmp_path / "docs.jsonl"
    path.write_text('{"id": "first", "text": "right"}\n' + entry + "\n")
    with pytest.raises(DataError) as raised:
        list(Documents(str(path)).documents())
    assert said in str(raised.value)


def test_files_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    (tmp_path / "latin.md").write_bytes(b"caf\xe9")
    with pytest.raises(DataError, match=r"latin.md: invalid UTF-8 at byte 3"):
        list(Documents(str(tmp_path)).documents())
    (tmp_path / "broken.parquet").write_bytes(b"PAR1 not")
    with pytest.raises(DataError, match=r"broken.parquet: cannot be read as Parquet"):
        list(Documents(str(tmp_path / "broken.parquet")).documents())
    with pytest.raises(DataError, match=r"no such file or folder. Did you mean 'latin.md'"):
        Documents(str(tmp_path / "latn.md")).files  # noqa: B018
    (tmp_path / "none").mkdir()
    with pytest.raises(DataError, match="holds no file of a known kind"):
        Documents(str(tmp_path / "none")).files  # noqa: B018
    with pytest.raises(DataError, match="no file of a known kind"):
        Documents(__file__).files  # noqa: B018


def test_unknown_languages_are_refused_by_their_key() -> None:
    with pytest.raises(ConfigError, match=r"corpus.language: unknown language 'deutsch'"):
        Documents("x", language="deutsch")
    with pytest.raises(ConfigError, match=r"corpus.languages: .*'xx'"):
        Documents("x", languages=["de", "xx"])
    with pytest.raises(ConfigError, match=r"corpus.languages: ceb cannot be detected"):
        Detector(["de", "ceb"])


def test_languages_are_detected_among_those_that_are_given() -> None:
    detect = Detector()
    assert detect(document("a", "Der Nil ist der längste Fluss Afrikas und fließt durch Ägypten.", None)) == "de"
    assert detect(document("b", "The Nile is the longest river of Africa.", None)) == "en"
    assert detect(document("c", "क़ाहिरा मिस्र की राजधानी है।", None)) == "hi"
    assert detect(document("d", "12345 678", None)) == UNDETERMINED
    assert Detector(["de", "en"])(document("e", "Wo liegt Kairo?", None)) == "de"


def test_identity_changes_with_the_files_and_the_settings(tmp_path: Path) -> None:
    path = lines(tmp_path / "docs.jsonl", ENTRIES)
    before = Documents(path).identity()
    assert Documents(path).identity() == before
    assert Documents(path, language="de").identity() != before
    lines(tmp_path / "docs.jsonl", ENTRIES[:2])
    assert Documents(path).identity() != before


def test_atlas_has_each_passage_in_eleven_languages() -> None:
    found = list(Atlas().documents())
    assert len({one.id for one in found}) == len(found)
    assert len({one.language for one in found}) == 11
