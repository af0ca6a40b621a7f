"""The examples of docs/data.md and docs/codeswitch.md run as written."""

import gzip
import json
import re
from pathlib import Path

import pytest

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGE = DOCS / "data.md"


def blocks(language, page=PAGE):
    return re.findall(rf"```{language}\n(.*?)```", page.read_text(encoding="utf-8"), flags=re.DOTALL)


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


def test_the_example_of_code_switching_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("data/dictionaries").mkdir(parents=True)
    Path("data/dictionaries/en-de.txt").write_text("where wo\nriver fluss\n")
    Path("data/dictionaries/en-es.txt").write_text("end fin\nend termina\n")
    (example,) = blocks("python", DOCS / "codeswitch.md")
    exec(compile(example, "codeswitch.md", "exec"), {})
    note, *texts = capsys.readouterr().out.splitlines()
    assert note == "en: into de (2 words), es (1 words)"
    assert len(texts) == 5
    words = {word for text in texts for word in text.rstrip("?").split()}
    assert words <= {"Where", "Wo", "does", "the", "river", "fluss", "end", "fin", "termina"}
    assert words & {"Wo", "fluss", "fin", "termina"}


def test_the_format_example_is_read(files):
    from mixlingua.data.readers.jsonl import JsonlReader

    Path("example.jsonl").write_text(blocks("json")[0], encoding="utf-8")
    first, second = JsonlReader("example.jsonl").rows()
    assert sorted(first.queries) == ["de", "en"]
    assert second.passage_id == "p7"
