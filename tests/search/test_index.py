"""An index is built, stopped and finished, added to and taken from; whatever is wrong with it is named."""

import json
import multiprocessing
import os
import signal
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from mixlingua.errors import ConfigError, DataError, ModelError, StorageError
from mixlingua.model.pretrained import PretrainedEncoder
from mixlingua.retrieval.passage_transforms import HubCorrection, Joining, PassageTransforms
from mixlingua.search import build as building
from mixlingua.search.build import Build, delete, empty_index, rows_to_delete
from mixlingua.search.card import write_card
from mixlingua.search.encoding import Encoding
from mixlingua.search.engines import FaissSettings
from mixlingua.search.folder import IndexFolder, remove_index
from mixlingua.search.retriever import Retriever, settings_of
from mixlingua.search.windows import titled

from .conftest import TINY, Listed, animals, document, make

SETTINGS = FaissSettings(shard_size=32)


def content(folder: Path) -> dict[str, bytes]:
    """Every file of rows and vectors."""
    return {file.relative_to(folder).as_posix(): file.read_bytes()
            for part in ("rows", "vectors") for file in sorted((folder / part).iterdir())}  # fmt: skip


def test_rows_and_vectors_are_those_of_the_documents(tmp_path: Path, encoding: Encoding) -> None:
    folder = make(tmp_path, animals(), encoding)
    assert folder.num_documents == {"de": 20, "en": 40}
    assert folder.num_rows > 60, "some documents have several windows"
    rows = [folder.row(position) for position in range(folder.num_rows)]
    assert [row.document for row in rows if row.number == 0] == [found.id for found in animals()]
    expected = encoding([titled(row.title, row.text) for row in rows], "passage").numpy()
    np.testing.assert_allclose(folder.gathered(np.arange(folder.num_rows)), expected, atol=1e-6)
    reopened = IndexFolder.open(tmp_path)
    assert reopened.manifest == folder.manifest


def _build_and_die(path: Path) -> None:
    """A build in a process of its own that is killed once two shards are encoded."""
    torch.set_num_threads(1)
    encoding = Encoding.of(PretrainedEncoder(**TINY).load(0), TINY, 0, precision="32-true")

    def progress(stage: str, done: int, total: int | None) -> None:
        if stage == "encoding" and done >= 64:
            os.kill(os.getpid(), signal.SIGKILL)

    build = Build(empty_index(path, SETTINGS, encoding), Listed(animals()), SETTINGS, encoding, progress)
    build.encode(build.read())


def test_killed_half_way_and_started_again_equals_uninterrupted(tmp_path: Path, encoding: Encoding) -> None:
    process = multiprocessing.get_context("spawn").Process(target=_build_and_die, args=(tmp_path / "killed",))
    process.start()
    process.join(120)
    assert process.exitcode == -signal.SIGKILL
    there = {file.name: file.stat().st_mtime_ns for file in (tmp_path / "killed" / "vectors").glob("*.npy")}
    assert sorted(there) == ["00000.npy", "00001.npy"]
    with pytest.raises(DataError, match=r"was not finished. Go on with it by resume="):
        Retriever.load(tmp_path / "killed")

    make(tmp_path / "killed", animals(), encoding, SETTINGS)
    make(tmp_path / "whole", animals(), encoding, SETTINGS)
    killed, whole = content(tmp_path / "killed"), content(tmp_path / "whole")
    assert [name for name in whole if name.startswith("rows")] == [name for name in killed if name.startswith("rows")]
    assert killed == whole
    for name, time in there.items():
        assert (tmp_path / "killed" / "vectors" / name).stat().st_mtime_ns == time, "encoded again"


def test_a_stopped_build_of_other_documents_is_not_gone_on_with(tmp_path: Path, encoding: Encoding) -> None:
    build = Build(empty_index(tmp_path, SETTINGS, encoding), Listed(animals()), SETTINGS, encoding, lambda *_: None)
    build.encode(build.read())
    make(tmp_path, animals(20), encoding)
    assert Retriever.load(tmp_path).count == 20
    assert len(list((tmp_path / "vectors").glob("*.npy"))) == len(IndexFolder.open(tmp_path).manifest.shards)


def test_a_stopped_build_in_another_precision_is_not_gone_on_with(tmp_path: Path, encoding: Encoding) -> None:
    make(tmp_path, animals(), encoding)
    mixed = replace(encoding, model={**encoding.model, "precision": "bf16-mixed"})
    build = Build(empty_index(tmp_path, SETTINGS, mixed), Listed(animals()), SETTINGS, mixed, lambda *_: None)
    build.read()
    assert not (tmp_path / "index.json").exists(), "it would name vectors that are gone"
    make(tmp_path, animals(), mixed)
    make(tmp_path / "whole", animals(), mixed)
    assert content(tmp_path) == content(tmp_path / "whole")


def _one_of_three(path: Path, position: int) -> None:
    torch.set_num_threads(1)
    os.environ |= {"RANK": str(position), "WORLD_SIZE": "3"}
    encoding = Encoding.of(PretrainedEncoder(**TINY).load(0), TINY, 0, precision="32-true")
    build = Build(empty_index(path, SETTINGS, encoding), Listed(animals()), SETTINGS, encoding, lambda *_: None)
    reading = build.read()
    folder = build.encode(reading)
    if position == 0:
        build.finish(folder, reading, {})


def test_three_processes_build_the_index_of_one(tmp_path: Path, encoding: Encoding) -> None:
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=_one_of_three, args=(tmp_path / "three", position)) for position in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(180)
    assert [process.exitcode for process in processes] == [0, 0, 0]
    make(tmp_path / "one", animals(), encoding)
    assert content(tmp_path / "three") == content(tmp_path / "one")
    assert not list((tmp_path / "three").glob(".process-*"))


@pytest.mark.parametrize("factory", ["Flat", "HNSW8", "SQ8"])
def test_adding_replaces_known_ids_and_encodes_nothing_again(tmp_path: Path, encoding: Encoding, factory: str) -> None:
    settings = FaissSettings(shard_size=32, factory=factory, candidates=8)
    folder = make(tmp_path, animals(), encoding, settings)
    before = {file: file.stat().st_mtime_ns for file in (tmp_path / "vectors").iterdir()}
    more = [document("d1", "something quite different", "fr"), document("new", "a new document", "fr")]
    folder = make(tmp_path, more, encoding, settings, folder)
    assert {file: file.stat().st_mtime_ns for file in before} == before
    retriever = Retriever.load(tmp_path)
    assert retriever.count == 61
    assert retriever.languages == ("de", "en", "fr")
    (found,) = [result for result in retriever.search("something quite different", k=61) if result.id == "d1"]
    assert (found.language, found.text) == ("fr", "something quite different")
    assert sorted(file.name for file in tmp_path.glob("engine-*")) == (
        [] if factory == "Flat" else ["engine-2.faiss", "engine-2.npy"]
    )


@pytest.mark.parametrize("factory", ["Flat", "HNSW8", "BFlat", "IVF2,Flat", "PQ4x4fs"])
def test_deleted_documents_are_not_found(tmp_path: Path, encoding: Encoding, factory: str) -> None:
    settings = FaissSettings(shard_size=32, factory=factory, candidates=8)
    folder = make(tmp_path, animals(), encoding, settings)
    gone = [found.id for found in animals() if found.language == "de"][:19]
    folder = delete(folder, settings, encoding, gone)
    folder = delete(folder, settings, encoding, ["d1"])
    retriever = Retriever.load(tmp_path)
    assert retriever.count == 40
    results = retriever.search("Hund Katze 0", k=100)
    assert len(results) == 40 and not {result.id for result in results} & {*gone, "d1"}
    assert len(retriever.search("Hund", k=5, language="de")) == 1
    assert [file.name for file in tmp_path.glob("deleted-*")] == ["deleted-3.npy"], "earlier ones are removed"
    with pytest.raises(DataError, match=r"index.delete: no document d1, nobody in .* Nothing was deleted"):
        delete(folder, settings, encoding, ["d2", "d1", "nobody"])


def test_a_search_in_progress_goes_on_while_documents_are_added(tmp_path: Path, encoding: Encoding) -> None:
    folder = make(tmp_path, animals(), encoding)
    opened = Retriever.load(tmp_path)
    before = opened.search("dog cat", k=5)
    make(tmp_path, [document("new", "dog cat")], encoding, base=delete(folder, SETTINGS, encoding, [before[0].id]))
    assert opened.search("dog cat", k=5) == before
    assert Retriever.load(tmp_path).search("dog cat", k=5)[0].id != before[0].id


@pytest.mark.parametrize("change", ["added to", "overwritten"])
def test_a_retriever_that_has_not_searched_yet_is_not_touched_by_a_change(
    tmp_path: Path, encoding: Encoding, change: str
) -> None:
    settings = FaissSettings(shard_size=32, transforms=PassageTransforms(0, Joining()))
    folder = make(tmp_path, animals(), encoding, settings)
    folder = delete(folder, settings, encoding, ["d5"])
    expected = Retriever.load(tmp_path).search("dog cat", k=5)
    opened = Retriever.load(tmp_path)
    if change == "overwritten":
        remove_index(tmp_path)
    else:
        make(tmp_path, [document("new", "dog cat")], encoding, settings, delete(folder, settings, encoding, ["d6"]))
    assert opened.search("dog cat", k=5) == expected
    assert opened.languages == ("de", "en")


def test_an_index_that_changes_while_its_encoder_is_loaded_is_opened_as_it_is_then(
    tmp_path: Path, encoding: Encoding, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = FaissSettings(shard_size=32, factory="HNSW8")
    folder = make(tmp_path, animals(), encoding, settings)
    loading, changes = Encoding.of_index, [[document("new", "dog dog")]]

    def loads(*arguments: object, **named: object) -> Encoding:
        if changes:
            make(tmp_path, changes.pop(), encoding, settings, base=folder)
        return loading(*arguments, **named)

    monkeypatch.setattr(Encoding, "of_index", loads)
    assert Retriever.load(tmp_path, encoder=encoding.encoder).count == 61
    (tmp_path / "engine-2.faiss").unlink()
    with pytest.raises(DataError, match=r"engine-2\.faiss: cannot be read"):
        Retriever.load(tmp_path, encoder=encoding.encoder)


@pytest.mark.parametrize("transforms", [PassageTransforms(), PassageTransforms(0.3, Joining(), HubCorrection(0.4, 1))])
def test_everything_deleted_leaves_an_index_that_finds_nothing(
    tmp_path: Path, encoding: Encoding, transforms: PassageTransforms
) -> None:
    settings = FaissSettings(shard_size=32, transforms=transforms)
    folder = make(tmp_path, animals(6), encoding, settings)
    folder = delete(folder, settings, encoding, [f"d{number}" for number in range(6)])
    retriever = Retriever.load(tmp_path)
    assert (retriever.count, retriever.languages, retriever.search("dog"), retriever.search("dog", fair=True)) == (
        0, (), [], []
    )  # fmt: skip
    make(tmp_path, animals(6), encoding, settings, folder)
    assert len(Retriever.load(tmp_path).search("dog")) == 6


def test_transforms_are_those_of_the_evaluation(tmp_path: Path, encoding: Encoding) -> None:
    steps = PassageTransforms(0.3, Joining(), HubCorrection(neighbours=5))
    folder = make(tmp_path, animals(), encoding, FaissSettings(shard_size=32, transforms=steps))
    plain = make(tmp_path / "plain", animals(), encoding)
    rows = [folder.row(position) for position in range(folder.num_rows)]
    vectors = torch.from_numpy(plain.gathered(np.arange(plain.num_rows)))
    documents = sorted({row.document for row in rows})
    means = {name: sum(v for v, row in zip(vectors, rows, strict=True) if row.document == name) for name in documents}
    contexts = torch.stack([torch.nn.functional.normalize(means[row.document], dim=0) for row in rows])
    expected = steps.passages(vectors, contexts, [row.language for row in rows])
    np.testing.assert_allclose(folder.gathered(np.arange(folder.num_rows)), expected.numpy(), atol=1e-6)
    (best, *_) = Retriever.load(tmp_path).search("dog cat")
    query = steps.queries(encoding(["dog cat"], "query"))
    assert best.score == pytest.approx(float((query @ expected.T).max()), abs=1e-5)
    assert settings_of(IndexFolder.open(tmp_path)).transforms == steps


def test_a_language_with_too_few_documents_for_the_transforms_is_named(tmp_path: Path, encoding: Encoding) -> None:
    with pytest.raises(ConfigError, match=r"index.transforms.hub_correction.neighbours=50: needs more than 50"):
        make(tmp_path, animals(9), encoding, FaissSettings(transforms=PassageTransforms(0, None, HubCorrection())))
    with pytest.raises(ConfigError, match=r"index.transforms.joining: .* all are in en"):
        make(tmp_path / "b", [document("a", "x")], encoding, FaissSettings(transforms=PassageTransforms(0, Joining())))
    settings = FaissSettings(transforms=PassageTransforms(0, Joining()))
    folder = make(tmp_path / "c", animals(4), encoding, settings)
    german = rows_to_delete(folder, ["d0", "d3"])
    build = Build(folder, Listed([document("a", "x")]), settings, encoding, lambda *_: None, german)
    with pytest.raises(ConfigError, match=r"index.transforms.joining: .* all are in en"):
        build.cost(build.read())


def test_empty_documents_are_left_out_by_name_and_repeated_ids_refused(tmp_path: Path, encoding: Encoding) -> None:
    folder = make(tmp_path, [document("a", ""), *animals(3), document("b", "")], encoding)
    (corpus,) = folder.manifest.about["corpora"]
    assert corpus["left_out"] == {"empty": 2, "examples": ["test:a", "test:b"]}
    write_card(folder, SETTINGS)
    assert "2 documents without text are left out: test:a, test:b." in (tmp_path / "README.md").read_text()
    twice = [*animals(), document("d3", "again")._replace(where="file:9")]
    with pytest.raises(DataError, match=r"file:9: duplicate id 'd3', first seen at test:d3 \(1 in all\)"):
        make(tmp_path / "twice", twice, encoding)
    with pytest.raises(DataError, match="no document with a text; 1 are empty"):
        make(tmp_path / "none", [document("a", "")], encoding)


def test_the_card_says_what_the_index_holds(tmp_path: Path, encoding: Encoding) -> None:
    documents = [*animals(), document("x", "The Nile is the longest river of Africa.", None)]
    settings = FaissSettings(factory="HNSW8")
    folder = make(tmp_path, documents, encoding, settings)
    write_card(folder, settings)
    card = (tmp_path / "README.md").read_text()
    assert "| German (`de`) | 20 |" in card and "| English (`en`) | 41 |" in card
    assert "The language of 1 of 61 documents was detected by py3langid" in card
    recall = folder.manifest.about["recall"]["recall_at_10"]
    assert 0.5 < recall <= 1
    assert f"recall at 10 against exact search is {recall:.3f}" in card


def test_another_model_is_refused(tmp_path: Path, encoding: Encoding) -> None:
    make(tmp_path, animals(3), encoding)
    other = PretrainedEncoder(**TINY).load(1)
    with pytest.raises(ModelError, match=r"was built with tiny \(weights .*Vectors of different models"):
        Retriever.load(tmp_path, encoder=other)
    manifest = json.loads((tmp_path / "index.json").read_text())
    manifest["model"]["seed"] = 1
    (tmp_path / "index.json").write_text(json.dumps(manifest))
    with pytest.raises(ModelError, match="was built with tiny"):
        Retriever.load(tmp_path)


def test_folders_that_hold_no_whole_index_are_refused(tmp_path: Path, encoding: Encoding) -> None:
    with pytest.raises(DataError, match=r"index=.*nowhere: no such folder"):
        Retriever.load(tmp_path / "nowhere")
    with pytest.raises(DataError, match="holds no index"):
        Retriever.load(tmp_path)
    folder = make(tmp_path / "a", animals(), encoding, FaissSettings(shard_size=32, factory="HNSW8"))
    for name, said in (
        ("engine-1.faiss", "engine-1.faiss: cannot be read"),
        ("vectors/00000.npy", "00000.npy: cannot be read"),
        ("rows/00001.arrow", "00001.arrow: cannot be read"),
        ("index.json", "index.json: malformed JSON"),
    ):
        file = folder.path / name
        whole = file.read_bytes()
        file.write_bytes(whole[: len(whole) // 3])
        with pytest.raises(DataError, match=said):
            Retriever.load(tmp_path / "a").search("dog")
        file.write_bytes(whole)
    manifest = json.loads((folder.path / "index.json").read_text())
    for change, said in (({"format": 0}, "index format 0"), ({"shards": ["x"]}, "damaged"), ({"index": {}}, "damaged")):
        (folder.path / "index.json").write_text(json.dumps(manifest | change))
        with pytest.raises(DataError, match=said):
            Retriever.load(folder.path)


def test_the_cost_is_known_before_anything_is_encoded(
    tmp_path: Path, encoding: Encoding, monkeypatch: pytest.MonkeyPatch
) -> None:
    build = Build(empty_index(tmp_path, SETTINGS, encoding), Listed(animals()), SETTINGS, encoding, lambda *_: None)
    reading = build.read()
    cost = build.cost(reading)
    texts = [titled(row.title, row.text) for row in map(build._with(reading).row, range(reading.num_windows))]
    assert cost.num_tokens == pytest.approx(
        sum(map(len, encoding.encoder.tokenizer.encode(texts, "passage"))), rel=0.02
    )
    assert cost.num_bytes == 4 * encoding.dim * reading.num_windows
    assert cost.seconds == pytest.approx(cost.num_tokens / cost.rate)
    assert not (tmp_path / "vectors").exists()
    monkeypatch.setattr(building.shutil, "disk_usage", lambda _: SimpleNamespace(free=100))
    with pytest.raises(StorageError, match=r"the index needs 0.0 GB, but 0.0 GB are free"):
        build.cost(reading)
