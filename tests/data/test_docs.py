"""The examples of docs/data.md run as written."""

import gzip
import json
import re
from pathlib import Path

import pytest

PAGE = Path(__file__).resolve().parents[2] / "docs" / "data.md"


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", PAGE.read_text(encoding="utf-8"), flags=re.DOTALL)


@pytest.fixture
def files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    texts = {"queries": {"de": "f", "en": "q"}, "passages": {"de": "a", "en": "p"}}

    with gzip.open("pairs.jsonl.gz", "wt") as file:
        file.writelines(json.dumps({"id": number} | texts) + "\n" for number in range(200))
    Path("pairs.tsv").write_text("f\ta\tq\tp\n")


@pytest.mark.parametrize("example", blocks("python"))
def test_python_examples_run(files, example):
    exec(compile(example, str(PAGE), "exec"), {})


def test_the_format_example_is_read(files):
    from mixlingua.data.readers.jsonl import JsonlReader

    Path("example.jsonl").write_text(blocks("json")[0], encoding="utf-8")
    first, second = JsonlReader("example.jsonl").rows()
    assert sorted(first.queries) == ["de", "en"]
    assert second.passage_id == "p7"
