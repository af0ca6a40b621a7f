"""action=index and action=search from the command line: as documented, resumed, added to, and with mistakes."""

import io
import json
import re
import shutil
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from mixlingua import load_encoder
from mixlingua.cli.command_line import spelled_out
from mixlingua.cli.configuration import compose
from mixlingua.files import lock
from mixlingua.model.folder import save_folder
from mixlingua.reading import read_status
from mixlingua.search.folder import MANIFEST, IndexFolder
from mixlingua.search.retriever import Retriever

Launch = Callable[..., int]
CAIRO = "# Cairo\nCairo is the capital of Egypt, and it lies on the river Nile."
BERN = "---\ntitle: Bern\nlang: de\n---\nBern ist die Hauptstadt der Schweiz."


@pytest.fixture
def notes(tmp_path: Path) -> Path:
    folder = tmp_path / "notes, all"
    folder.mkdir()
    (folder / "cairo.md").write_text(CAIRO)
    (folder / "bern.md").write_text(BERN)
    return folder


LAYER = ("postprocess=projection", "postprocess.languages=[de,en]", "postprocess.rows_per_language=4")


def build(launch: Launch, notes: Path, *more: str) -> int:
    precision = "evaluation.precision=32-true"
    return launch("action=index", f"corpus={notes.name}", "model=tiny", precision, "hydra.run.dir=idx", *more)


def test_a_folder_is_indexed_and_searched(
    launch: Launch, notes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert build(launch, notes) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "documents 2 of" in shown and "English 1" in shown and "German 1" in shown
    assert "2 windows" in shown and "tokens a second" in shown and "GB are free" in shown
    assert "language of 1 of 2 documents was detected by py3langid" in shown
    assert read_status(tmp_path / "idx")["metrics"] == {"documents": 2, "windows": 2}
    assert "# Search index" in (tmp_path / "idx" / "README.md").read_text()

    query = """Wo, (wer) 'liegt' = "Kairo" an {welchem}: Fluss\\?"""
    assert launch("action=search", "index=idx", f"query={query}", "hydra.run.dir=found") == 0
    table = capsys.readouterr().out
    assert all(len(line) <= 80 for line in table.splitlines() if "Results in" not in line)
    assert "score" in table and "Bern" in table and "Cairo" in table
    results = json.loads((tmp_path / "found" / "results.json").read_text())
    assert [set(result) for result in results] == [{"id", "score", "language", "title", "text"}] * 2
    assert {result["language"] for result in results} == {"de", "en"}
    assert results[0]["score"] >= results[1]["score"]
    assert OmegaConf.load(tmp_path / "found" / "config.yaml").query == query

    assert launch("action=search", "index=idx", "query=x", "language=de", "k=1", "hydra.run.dir=de") == 0
    assert [result["id"] for result in json.loads((tmp_path / "de" / "results.json").read_text())] == ["bern.md"]
    assert "are read" not in capsys.readouterr().out
    assert launch("action=search", "index=idx", f"query={'Nil ' * 3000}", "hydra.run.dir=long") == 0
    assert re.search(r"^the query has \d+,\d+ tokens; the first \d+ are read$", capsys.readouterr().out, re.MULTILINE)


def test_lines_of_the_standard_input_are_queries(
    launch: Launch, notes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert build(launch, notes) == 0
    monkeypatch.setattr(sys, "stdin", io.StringIO("Cairo?\n\nBern, [die] Stadt\ncut\ud83d\n"))
    assert launch("action=search", "index=idx", "fair=true", "hydra.run.dir=found") == 0
    found = [json.loads(line) for line in (tmp_path / "found" / "results.jsonl").read_text().splitlines()]
    assert [entry["query"] for entry in found] == ["Cairo?", "Bern, [die] Stadt"]
    assert all(len(entry["results"]) == 2 for entry in found)
    assert "half of a surrogate pair" in capsys.readouterr().err
    lines = io.TextIOWrapper(io.BytesIO(b"Bern\ncaf\xe9\nCairo\n"), "utf-8")
    monkeypatch.setattr(sys, "stdin", lines)
    assert launch("action=search", "index=idx", "hydra.run.dir=bytes") == 0
    found = [json.loads(line) for line in (tmp_path / "bytes" / "results.jsonl").read_text().splitlines()]
    assert [entry["query"] for entry in found] == ["Bern", "Cairo"]
    assert "caf" in capsys.readouterr().err


def test_documents_are_added_replaced_and_deleted(launch: Launch, notes: Path, tmp_path: Path) -> None:
    assert build(launch, notes) == 0
    (tmp_path / "more.jsonl").write_text(
        json.dumps({"id": "bern.md", "text": "Bern is the capital of Switzerland.", "language": "en"})
        + "\n" + json.dumps({"id": "nile", "text": "The Nile is a river.", "language": "en"}) + "\n"
    )  # fmt: skip
    assert launch("action=index", "index=idx", "corpus=more.jsonl", "hydra.run.dir=added") == 0
    folder = IndexFolder.open(tmp_path / "idx")
    assert folder.num_documents == {"en": 3}
    assert [corpus["documents"] for corpus in folder.manifest.about["corpora"]] == [2, 2]
    assert launch("action=index", "index=idx", "index.delete=[nile,cairo.md]", "hydra.run.dir=deleted") == 0
    assert IndexFolder.open(tmp_path / "idx").num_documents == {"en": 1}
    (tmp_path / "ids.txt").write_text("bern.md\n")
    assert launch("action=index", "index=idx", "index.delete=ids.txt", "hydra.run.dir=all") == 0
    assert IndexFolder.open(tmp_path / "idx").num_documents == {}


def test_documents_are_deleted_together_with_what_is_added(
    launch: Launch, notes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert build(launch, notes) == 0
    change = ("action=index", "index=idx", "corpus=more.jsonl", "index.delete=[cairo.md]")
    (tmp_path / "more.jsonl").write_text('{"id": "nile", "text": "The Nile"')
    assert launch(*change, "hydra.run.dir=bad") == 2
    assert "more.jsonl:1" in capsys.readouterr().err
    assert IndexFolder.open(tmp_path / "idx").num_documents == {"de": 1, "en": 1}
    (tmp_path / "more.jsonl").write_text('{"id": "nile", "text": "The Nile is a river.", "language": "fr"}')
    assert launch(*change, "hydra.run.dir=good") == 0
    assert "1 documents deleted" in capsys.readouterr().out
    folder = IndexFolder.open(tmp_path / "idx")
    assert (folder.num_documents, folder.manifest.generation) == ({"de": 1, "fr": 1}, 2)


@pytest.mark.parametrize("layer", [(), LAYER])
def test_a_stopped_build_is_resumed(
    launch: Launch,
    notes: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    layer: tuple[str, ...],
) -> None:
    from mixlingua.search.build import Build

    def stopped(*arguments: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as context:
        context.setattr(Build, "encode", stopped)
        assert build(launch, notes, *layer) != 0
    assert launch("action=search", "index=idx", "query=x") == 2
    assert "was not finished. Go on with it by resume=idx hydra.run.dir=idx" in capsys.readouterr().err
    assert launch("resume=idx", "hydra.run.dir=elsewhere") == 2
    assert "an index is finished in its own folder" in capsys.readouterr().err
    right: tuple[str, ...] = ()
    if layer:
        assert launch("resume=idx", "hydra.run.dir=idx", "seed=1", "evaluation.precision=bf16-mixed") == 2
        assert "fitted with other settings (seed, evaluation.precision, weights)" in capsys.readouterr().err
        right = ("seed=0", "evaluation.precision=32-true")
    assert launch("resume=idx", "hydra.run.dir=idx", *right) == 0
    assert IndexFolder.open(tmp_path / "idx").num_documents == {"de": 1, "en": 1}


def test_a_fitted_layer_is_kept_in_the_index(launch: Launch, notes: Path, tmp_path: Path) -> None:
    assert build(launch, notes, *LAYER) == 0
    assert (tmp_path / "idx" / "model" / "modules.json").exists()
    (tmp_path / "idx").rename(tmp_path / "moved")
    assert launch("action=search", "index=moved", "query=x", "hydra.run.dir=found") == 0
    assert len(json.loads((tmp_path / "found" / "results.json").read_text())) == 2


def test_what_overwrites_an_index_is_as_a_new_one(launch: Launch, notes: Path, tmp_path: Path) -> None:
    """Another model behind a layer, another precision, no layer: nothing of what was there is taken."""

    def held(folder: Path) -> tuple[object, list[bytes], bool]:
        vectors = [file.read_bytes() for file in sorted((folder / "vectors").iterdir())]
        return IndexFolder.open(folder).manifest.model, vectors, (folder / "model").exists()

    assert build(launch, notes, *LAYER) == 0
    before = []
    for number, changed in enumerate([(*LAYER, "seed=1"), ("seed=1",), ("seed=1", "evaluation.precision=bf16-mixed")]):
        before.append(held(tmp_path / "idx"))
        assert build(launch, notes, *changed, "overwrite=true") == 0
        assert build(launch, notes, *changed, f"hydra.run.dir=new{number}") == 0
        assert held(tmp_path / "idx") == held(tmp_path / f"new{number}")
        assert held(tmp_path / "idx") not in before


@pytest.mark.parametrize("layer", [(), LAYER])
def test_an_index_is_searched_until_what_overwrites_it_is_read(
    launch: Launch, notes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], layer: tuple[str, ...]
) -> None:
    def held() -> dict[str, bytes]:
        files = [file for name in ("rows", "vectors", "model") for file in (tmp_path / "idx" / name).rglob("*.*")]
        return {str(file): file.read_bytes() for file in [*files, tmp_path / "idx" / "index.json"]}

    assert build(launch, notes, *layer) == 0
    before = held()
    (notes / "bad.jsonl").write_text('{"id": "nile", "text": "The Nile"')
    for again in ([], [f"resume={tmp_path / 'idx'}"]):
        assert build(launch, notes, *layer, "seed=1", "overwrite=true", *again) == 2
        assert "bad.jsonl:1" in capsys.readouterr().err
        assert held() == before and not (tmp_path / "idx" / ".new").exists()
    assert launch("action=search", "index=idx", "query=x", "hydra.run.dir=found") == 0
    (notes / "bad.jsonl").write_text('{"id": "nile", "text": "The Nile", "language": "en"}')
    assert build(launch, notes, *layer, "overwrite=true") == 0
    assert IndexFolder.open(tmp_path / "idx").num_documents == {"de": 1, "en": 2}


def test_what_overwrites_an_index_is_read_and_measured_once(
    launch: Launch, notes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mixlingua.search.build import Build

    called: list[str] = []

    def counted(name: str) -> Callable[..., object]:
        method = getattr(Build, name)
        return lambda *arguments: called.append(name) or method(*arguments)

    assert build(launch, notes) == 0
    for name in ("read", "cost"):
        monkeypatch.setattr(Build, name, counted(name))
    assert build(launch, notes, "overwrite=true") == 0
    assert called == ["read", "cost"]


def test_overwriting_keeps_a_model_that_is_not_the_indexs(launch: Launch, notes: Path, tmp_path: Path) -> None:
    assert build(launch, notes) == 0
    (tmp_path / "idx" / "model").mkdir()
    assert build(launch, notes, "overwrite=true") == 0
    assert (tmp_path / "idx" / "model").is_dir()


def test_one_of_several_processes_fits_the_layer(
    launch: Launch, notes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second process waits for what the first writes."""
    assert build(launch, notes, *LAYER, "hydra.run.dir=one") == 0

    def write() -> None:
        time.sleep(3)
        for name in ("rows", "vectors", "reading.json", "model"):
            source, target = tmp_path / "one" / name, tmp_path / "idx" / name
            (shutil.copytree if source.is_dir() else shutil.copy)(source, target)

    def fitted(*arguments: object, **more: object) -> None:
        raise AssertionError

    monkeypatch.setattr("mixlingua.cli.index.append_postprocess", fitted)
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    (tmp_path / "idx").mkdir()
    first = threading.Thread(target=write)
    first.start()
    assert build(launch, notes, *LAYER) == 0
    first.join()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["index=idx", "index.delete=[cairo.md]"], "index=idx: an index is changed by one process, and there are 2"),
        (["corpus=notes, all", "model=tiny", "overwrite=true", "hydra.run.dir=idx"], "Remove the folder first"),
    ],
)
def test_what_one_process_does_is_refused_to_several(
    launch: Launch,
    notes: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    said: str,
) -> None:
    assert build(launch, notes) == 0
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert launch("action=index", "hydra.run.dir=again", *arguments) == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["action=search", "query=x"], "index: needs a value; add index=DIR"),
        (["action=search", "index=idx2", "query=x"], "idx2: no such file or folder. Did you mean 'idx'"),
        (["action=search", "index=notes, all", "query=x"], "the folder holds no index"),
        (["action=search", "index=idx", "query=x", "language=fr"], "language=fr: the index has de, en alone"),
        (["action=search", "index=idx", "query=x", "k=0"], "k=0: a whole number of 1 or more is needed"),
        (["action=search", "index=idx", "query= "], "query: it is empty"),
        (["action=search", "index=idx", "query=x", "model=tiny", "seed=5"], "Vectors of different models"),
        (["action=search", "index=idx", "query=x", "language=de", "fair=true"], "cannot be fair to others"),
        (["action=search", "index=idx", "query=x", "evaluation.precision=bf16-mixed"], "was built in 32-true"),
        (["action=search", "index=idx", "query=x", "postprocess=projection"], "postprocess: the index in idx has"),
        (["action=serve", "index=idx", "model=tiny", "seed=5"], "Vectors of different models"),
        (["action=serve", "index=idx", "trainer.precision=bf16-mixed"], "was built in 32-true"),
        (["action=serve", "postprocess=projection"], "postprocess: action=serve fits no layer"),
        (["action=index", "index=idx", "corpus=notes, all", *LAYER], "postprocess: the index in idx has a model"),
        (["action=index", "index=idx", "corpus=notes, all", "evaluation.precision=int8"], "was built in 32-true"),
        (["action=index", "index=idx"], "there is an index already"),
        (["action=index", "index=idx", "index.factory=HNSW32"], "index.factory"),
        (["action=index", "index=idx", "index.delete=[x]"], "index.delete: no document x in"),
        (["action=index", "corpus=notse"], "notse: no such file or folder"),
        (["action=index", "corpus=notes, all", "index.factory=HNWS"], "index.factory=HNWS: faiss makes no such index"),
        (["action=index", "corpus=notes, all", "corpus.language=xx"], "corpus.language: unknown language 'xx'"),
        (["action=index", "corpus=notes, all", "index.windows.tokens=1"], "index.windows.tokens=1"),
        (["action=index", "corpus=notes, all", "corpus.fields.text=body"], None),
    ],
)
def test_mistakes_are_named(
    launch: Launch,
    notes: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    said: str | None,
) -> None:
    monkeypatch.setattr("mixlingua.cli.serve.run_server", lambda *_: None)
    assert build(launch, notes) == 0
    capsys.readouterr()
    given = [] if "action=search" in arguments or "index=idx" in arguments else ["model=tiny"]
    status = launch(*arguments, *given, "hydra.run.dir=again")
    assert (status, said in capsys.readouterr().err if said else True) == (2 if said else 0, True)


def test_the_embedded_passages_are_served_with_the_model_that_is_in_the_folder_now(
    launch: Launch, own_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Other weights than at the first start, such as another training's."""
    served: list[str] = []

    def serves(retrievers: dict[str, Retriever], *_: object) -> None:
        served.append(retrievers["atlas"].encoding.encoder.tokenizer.prefix["query"])

    monkeypatch.setattr("mixlingua.cli.serve.run_server", serves)
    for prefix in ("A", "B"):
        save_folder(load_encoder("tiny", query_prefix=prefix, passage_prefix="").module, tmp_path / "model")
        model = ("model=folder", "model.name_or_path=model", "evaluation.precision=32-true")
        assert launch("action=serve", *model, f"hydra.run.dir={prefix}") == 0
    assert served == ["A", "B"]


def test_paths_and_queries_are_spelled_out_for_hydra() -> None:
    assert spelled_out(["index=milvus", "corpus=atlas", "corpus=null", "query=null"]) == [
        "index=milvus", "corpus=atlas", "~corpus", "query=null"
    ]  # fmt: skip
    assert spelled_out(["corpus=a b.jsonl", "index=D"]) == [
        "corpus=files", "corpus.path='a b.jsonl'", "index=folder", "index.path=D"
    ]  # fmt: skip
    assert spelled_out(["-m", "query=a,b", "data=x"]) == ["-m", "query=a,b", "data=x"]
    for query in (
        "it's",
        "back\\",
        "back\\'s",
        "a=b",
        "[x",
        "${y}",
        "{z}",
        "'quoted",
        "'in quotes'",
        "true story",
        "inf",
        "42",
        "true",
        "null ",
        "ü, é",
    ):
        assert compose(spelled_out([f"query={query}"])).query == query


def test_changes_of_one_index_take_turns(launch: Launch, notes: Path, tmp_path: Path) -> None:
    assert build(launch, notes) == 0
    deleted = []

    def change() -> None:
        with lock(tmp_path / "idx" / MANIFEST):  # as another process holds it while it adds documents
            time.sleep(3)
            deleted.append(int(IndexFolder.open(tmp_path / "idx").deleted.sum()))

    other = threading.Thread(target=change)
    other.start()
    assert launch("action=index", "index=idx", "index.delete=[cairo.md]", "hydra.run.dir=deleted") == 0
    other.join()
    deleted.append(int(IndexFolder.open(tmp_path / "idx").deleted.sum()))
    other = threading.Thread(target=change)
    other.start()
    assert build(launch, notes, "overwrite=true") == 0
    other.join()
    deleted.append(int(IndexFolder.open(tmp_path / "idx").deleted.sum()))
    assert deleted == [0, 1, 1, 0]
