"""Files of other libraries and data sets of `datasets`: the same rows in every format; bad records are named."""

import csv
import gzip
import json
import os

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from mixlingua.data.batches import StepDataset
from mixlingua.data.build import build_store
from mixlingua.data.readers import columns as columns_module
from mixlingua.data.readers.columns import ColumnsReader
from mixlingua.data.readers.hub import HubReader
from mixlingua.data.readers.jsonl import JsonlReader
from mixlingua.errors import ConfigError, DataError
from mixlingua.sampling.plan import BatchPlan
from mixlingua.sampling.strategies import Monolingual

ROWS = [
    {"id": str(n), "query": f"question {n}", "passage": f"answer {n}", "negatives": [f"wrong {n} a", f"wrong {n} b"],
     "scores": [9.5, n / 4, -1.0]}
    for n in range(1, 21)
]  # fmt: skip


def write(path, records):
    if path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(records), path)
    elif path.suffix == ".csv":
        with path.open("w", newline="") as file:
            table = csv.DictWriter(file, list(records[0]))
            table.writeheader()
            table.writerows(records)
    else:
        text = json.dumps(records) if path.suffix == ".json" else "\n".join(map(json.dumps, records))
        path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
    return path


def own(folder):
    return JsonlReader({"en": write(folder / "own.jsonl", ROWS)})


def flagembedding(folder):
    records = [
        {"query": row["query"], "pos": [row["passage"]], "neg": row["negatives"], "pos_scores": row["scores"][:1],
         "neg_scores": row["scores"][1:], "type": "normal"}
        for row in ROWS
    ]  # fmt: skip
    return ColumnsReader(write(folder / "flag.jsonl.gz", records), "flagembedding")


def tevatron(folder):
    def documents(texts, name=""):
        return [{"docid": name, "title": text.split()[0], "text": text.partition(" ")[2]} for text in texts]

    records = [
        {"query_id": row["id"], "query": row["query"], "positive_passages": documents([row["passage"]], row["id"]),
         "negative_passages": documents(row["negatives"])}
        for row in ROWS
    ]  # fmt: skip
    return ColumnsReader(write(folder / "tevatron.json", records), "tevatron")


def columns(row, label):
    first, second = row["negatives"]
    return {"anchor": row["query"], "positive": row["passage"], "negative_1": first, "negative_2": second, **label}


def sentence_transformers(folder):
    records = [columns(row, {"label": row["scores"]}) for row in ROWS]
    return ColumnsReader(write(folder / "triplets.parquet", records), "sentence_transformers")


def saved(folder):
    records = [{"asked": row["query"], "answers": {"text": row["passage"]}, "others": row["negatives"], "id": row["id"]}
               for row in ROWS]  # fmt: skip
    datasets.Dataset.from_list(records).save_to_disk(folder / "saved")
    columns = {"query": "asked", "passages": "answers.text", "negatives": "others", "id": "id"}
    return HubReader(folder / "saved", columns)


def batches(reader, folder, tokenizer):
    store = build_store(reader, folder / reader.name / type(reader).__name__, progress=False)
    plan = BatchPlan([store], strategy=Monolingual(), languages=["en"], batch_size=6, seed=1)
    data = StepDataset([store], plan, tokenizer, num_negatives=1, rank=0, world_size=1)
    return [data[index] for index in range(5)]


@pytest.mark.parametrize(
    "make", [flagembedding, tevatron, sentence_transformers, saved], ids=lambda make: make.__name__
)
def test_the_same_rows_in_every_format_give_equal_batches(make, tmp_path, tokenizer):
    for expected, found in zip(
        batches(own(tmp_path), tmp_path, tokenizer), batches(make(tmp_path), tmp_path, tokenizer), strict=True
    ):
        for name in ("queries", "passages"):
            assert torch.equal(getattr(found, name)["input_ids"], getattr(expected, name)["input_ids"])
        assert torch.equal(found.query_keys, expected.query_keys)
        assert torch.equal(found.passage_keys, expected.passage_keys)
        if make in (flagembedding, sentence_transformers):
            assert torch.equal(found.scores, expected.scores)
        else:
            assert found.scores is None


def test_every_passage_is_a_row_with_its_own_score(tmp_path):
    record = {"query": "q", "pos": ["p1", "p2"], "neg": ["n"], "pos_scores": [3, 2], "neg_scores": [1]}
    first, second = ColumnsReader(write(tmp_path / "f.jsonl", [record]), "flagembedding", "de").rows()
    assert (first.id, second.id, second.passages, second.negatives) == ("1", "1:2", {"de": "p2"}, {"de": ["n"]})
    assert (first.scores, second.scores) == ({"de": [3, 1]}, {"de": [2, 1]})
    plain = ColumnsReader(write(tmp_path / "f.jsonl", [{"query": "q", "pos": ["p"], "neg": []}]), "flagembedding")
    assert [(row.negatives, row.scores) for row in plain.rows()] == [({}, {})]


def test_blank_passages_keep_the_places_of_those_behind_them(tmp_path):
    """Or German's second passage would be paired with English's first."""
    record = {"q_de": "f", "a_de": ["eins", "zwei", None], "q_en": "q", "a_en": [" ", "two", ""]}
    write(tmp_path / "a.jsonl", [record])
    options = {"columns": {"query": "q_{language}", "passages": "a_{language}"}, "languages": ["de", "en"]}
    rows = [row.passages for row in HubReader(tmp_path, **options).rows()]
    assert rows == [{"de": "eins"}, {"de": "zwei", "en": "two"}]
    record = {"query": "q", "pos": ["", "p"], "neg": ["", "n"], "pos_scores": [4, 3], "neg_scores": [2, 1]}
    (row,) = ColumnsReader(write(tmp_path / "f.jsonl", [record]), "flagembedding").rows()
    assert (row.passages, row.negatives, row.scores) == ({"en": "p"}, {"en": ["n"]}, {"en": [3, 1]})


def test_margins_of_a_teacher_are_scores_below_the_passages(tmp_path):
    records = [columns(ROWS[0], {"label": [4.0, 6.5]})]
    (row,) = ColumnsReader(write(tmp_path / "m.jsonl", records), "sentence_transformers").rows()
    assert row.scores == {"en": [0.0, -4.0, -6.5]}


def test_files_by_language_are_joined_by_number_or_id(tmp_path):
    files = {
        code: write(tmp_path / f"{code}.csv", [{"query": f"{n} {code}?", "answer": f"{n} {code}"} for n in (1, 2)])
        for code in ("de", "en")
    }
    first, second = ColumnsReader(files, "sentence_transformers").rows()
    assert (first.id, second.queries) == ("1", {"de": "2 de?", "en": "2 en?"})


def test_texts_of_tables_are_what_stands_there(tmp_path):
    """As in huggingface/datasets #4467, where "null" became no text."""
    (tmp_path / "t.tsv").write_text('query\tanswer\nnull\t"None\nof it"\nNaN\t007\n')
    rows = list(ColumnsReader(tmp_path / "t.tsv", "sentence_transformers").rows())
    assert [(row.queries["en"], row.passages["en"]) for row in rows] == [("null", "None\nof it"), ("NaN", "007")]


def test_long_fields_of_a_table_are_read_and_the_limit_of_the_process_stays(tmp_path):
    text, limit = "x" * 200_000, csv.field_size_limit()
    (tmp_path / "t.csv").write_text(f"query,answer\nq,{text}\nr,{text}\n")
    rows = ColumnsReader(tmp_path / "t.csv", "sentence_transformers").rows()
    assert len(next(rows).passages["en"]) == 200_000
    assert csv.field_size_limit() == limit < 200_000, "between two rows too"
    assert len(list(rows)) == 1 and csv.field_size_limit() == limit


@pytest.mark.parametrize(
    ("format", "record", "message"),
    [
        (
            "flagembedding",
            {"query": "q", "poss": ["p"]},
            "no 'pos'; it has query, poss.*Did you mean 'poss'",
        ),
        ("flagembedding", {"query": "q", "pos": []}, "no query with a passage"),
        ("flagembedding", {"query": "q", "pos": [3]}, "pos: 3: it must be a text"),
        ("flagembedding", {"query": "q", "pos": ["p"], "pos_scores": [1, 2]}, "2 scores .* for 1 passages and 0 neg"),
        ("flagembedding", {"query": "q", "pos": ["p"], "pos_scores": ["?"]}, r"pos_scores: '\?': it must be a number"),
        ("flagembedding", {"query": ["q", "r"], "pos": ["p"]}, "2 queries in one record"),
        ("tevatron", {"query_id": 1, "query": "q", "positive_passages": [{"id": 1}]}, "an object with 'text'"),
        ("tevatron", {"query_id": None, "query": "q", "positive_passages": []}, "query_id is None; it must be a text"),
        (
            "sentence_transformers",
            {"answer": "a", "query": "q"},
            "columns answer, query: the first is taken",
        ),
        ("sentence_transformers", {"": "1", "frage": "q", "antwort": "a"}, "columns , frage, antwort: the first is"),
        (
            "sentence_transformers",
            {"frage": "q", "antwort": "a", "id": "1"},
            "columns frage, antwort, id: the first is",
        ),
        ("sentence_transformers", {"a": "a", "b": "q", "label": 0}, "pairs with 'label', of which some may not"),
        ("sentence_transformers", {"text": "a", "label": 0}, "a query and a passage are needed"),
    ],
)
def test_bad_records_are_named_by_file_and_line(tmp_path, format, record, message):
    file = write(tmp_path / "bad.jsonl", [record])
    with pytest.raises(DataError, match=message) as caught:
        list(ColumnsReader(file, format).rows())
    assert str(caught.value).startswith(f"{file}:1")


def test_bad_files_and_options_are_named(tmp_path, monkeypatch):
    with pytest.raises(ConfigError, match=r"data\.sources\.columns\.format=tevatrn: .*Did you mean 'tevatron'"):
        ColumnsReader(tmp_path / "x", "tevatrn")
    with pytest.raises(DataError, match=r"x\.jsonl: no such file"):
        ColumnsReader(tmp_path / "x.jsonl", "tevatron").fingerprint()
    for files in (["x.csv", "x.csv"], {"de": "x.csv", "en": "x.csv"}):
        with pytest.raises(DataError, match=r"data\.sources\.columns\.path: x\.csv is named 2 times"):
            ColumnsReader(files, "tevatron")
        with pytest.raises(DataError, match=r"data\.sources\.jsonl\.path: x\.csv is named 2 times"):
            JsonlReader(files)
    invalid = pa.array([b"\xff"])
    text = pa.StringArray.from_buffers(1, *invalid.buffers()[1:])
    pq.write_table(pa.table({"query": text, "answer": ["a"]}), tmp_path / "x.parquet")
    with pytest.raises(DataError, match=r"x\.parquet: no parquet file, or damaged \('utf-8' codec"):
        list(ColumnsReader(tmp_path / "x.parquet", "sentence_transformers").rows())
    for name, content, message in (
        ("x.txt", b"a", "no kind of file that is read"),
        ("x.csv", b"query,answer\na\n", r"x\.csv:2: not as many columns"),
        ("x.csv", b'query,answer\n"a,b\n', r"x\.csv:\d: malformed"),
        ("x.csv", b"query,answer,answer\na,b,c\n", r"x\.csv: two columns are named 'answer'"),
        (
            "x.jsonl",
            b'{"a": "q", "b": "p"}\n{"a": "q", "b": "p", "n": "n"}',
            r"x\.jsonl:2: column 'n', which the first",
        ),
        ("x.parquet", b"PAR1", r"x\.parquet: no parquet file, or damaged"),
    ):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(DataError, match=message):
            list(ColumnsReader(tmp_path / name, "sentence_transformers").rows())
    pq.write_table(pa.table([["q"], ["a"], ["b"]], ["query", "answer", "answer"]), tmp_path / "x.parquet")
    with pytest.raises(DataError, match=r"x\.parquet: two columns are named 'answer'"):
        list(ColumnsReader(tmp_path / "x.parquet", "sentence_transformers").rows())
    write(tmp_path / "x.parquet", [columns(ROWS[0], {})])
    monkeypatch.setattr(columns_module, "MAX_WHOLE_BYTES", 10)
    with pytest.raises(DataError, match=r"x\.parquet: row group 0 has \d+ bytes unpacked, more than the limit of 10"):
        list(ColumnsReader(tmp_path / "x.parquet", "sentence_transformers").rows())


def test_a_data_set_has_its_languages_in_columns_or_says_them(tmp_path):
    write(tmp_path / "a.jsonl", [{"q_de": "f", "q_en": "q", "a_de": "a", "a_en": ""}, {"q_de": "g", "q_en": "r",
                                  "a_de": "b", "a_en": "s"}])  # fmt: skip
    options = {"columns": {"query": "q_{language}", "passages": "a_{language}"}, "languages": ["de", "en"]}
    first, second = HubReader(tmp_path, **options).rows()
    assert (first.queries, second.passages) == ({"de": "f"}, {"de": "b", "en": "s"})
    write(tmp_path / "a.jsonl", [{"q": "f", "a": ["a", "b"], "lang": "th"}, {"q": "g", "a": ["c"], "lang": "tr"}])
    options = {"columns": {"query": "q", "passages": "a", "language": "lang"}}
    assert [row.passages for row in HubReader(tmp_path, **options).rows()] == [{"th": "a"}, {"th": "b"}, {"tr": "c"}]
    for more in ({"max_rows": 1}, {"max_rows": 1, "streaming": True}):
        assert [row.id for row in HubReader(tmp_path, **options, **more).rows()] == ["1", "1:2"]


def test_data_sets_that_cannot_be_read_are_named(tmp_path, monkeypatch):
    monkeypatch.setattr("datasets.config.HF_HUB_OFFLINE", True)
    with pytest.raises(DataError, match=r"data\.sources\.hf\.path=owner/none: cannot be read .*bring the files"):
        list(HubReader("owner/none").rows())
    with pytest.raises(ConfigError, match=r"data\.sources\.hf\.columns\.passage: .*Did you mean 'passages'"):
        HubReader("owner/none", {"passage": "a"})
    with pytest.raises(ConfigError, match=r"data\.sources\.hf\.columns\.query=\['a'\]: it is the name of one column"):
        HubReader("owner/none", {"query": ["a"]})
    assert HubReader("owner/none", {"query": None, "passages": None, "id": None}).columns.passages == ("passage",)
    with pytest.raises(ConfigError, match=r"data\.sources\.hf\.languages=\['de', 'en'\]: with several"):
        HubReader("owner/none", languages=["de", "en"])
    write(tmp_path / "a.jsonl", [{"question": "q", "passage": "p"}])
    with pytest.raises(DataError, match=r"\[train\] row 1: no 'query'; it has question, passage"):
        list(HubReader(tmp_path).rows())
    before = HubReader(tmp_path).fingerprint()
    write(tmp_path / "a.jsonl", [{"query": "q", "passage": "p"}])
    assert len({before, HubReader(tmp_path).fingerprint(), HubReader(tmp_path, max_rows=1).fingerprint()}) == 3


def test_a_folder_is_read_anew_though_its_files_keep_their_size_and_time(tmp_path):
    for text in ("a", "b"):
        os.utime(write(tmp_path / "a.jsonl", [{"query": text, "passage": "p"}]), (1e9, 1e9))
        assert [row.queries for row in HubReader(tmp_path).rows()] == [{"en": text}]
