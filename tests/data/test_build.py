from dataclasses import replace

import pytest

from mixlingua.data.build import build_store
from mixlingua.errors import ConfigError, DataError


def all_ids(store):
    return store.ids(range(store.num_rows))


def test_a_store_is_built_once_and_again_where_the_source_changes(tmp_path, rows, reader):
    class Counted(reader):
        reads = 0

        def rows(self):
            Counted.reads += 1
            return super().rows()

    first, validation = build_store(Counted(rows(5)), tmp_path, progress=False)
    again, _ = build_store(Counted(rows(5)), tmp_path, progress=False)
    assert validation is None
    assert (first.path, first.fingerprint) == (again.path, again.fingerprint)
    assert Counted.reads == 1
    other, _ = build_store(Counted(rows(6)), tmp_path, progress=False)
    assert other.num_rows == 6
    assert other.fingerprint != first.fingerprint


def test_validation_split_keeps_split_keys_whole_and_is_reproducible(tmp_path, rows, reader):
    listed = [replace(row, split_key=f"document {number // 4}") for number, row in enumerate(rows(400))]
    train, validation = build_store(reader(listed), tmp_path / "a", validation_fraction=0.2, progress=False)
    twin, _ = build_store(reader(listed), tmp_path / "b", validation_fraction=0.2, progress=False)
    documents = [{int(name.split()[1]) // 4 for name in all_ids(store)} for store in (train, validation)]
    assert not documents[0] & documents[1]
    assert train.num_rows + validation.num_rows == 400
    assert validation.name == f"{train.name} (held out)"
    assert 5 <= len(documents[1]) <= 40  # 20 expected of 100
    assert all_ids(train) == all_ids(twin)
    assert train.fingerprint != validation.fingerprint


def test_splits_that_cannot_work_are_refused(tmp_path, rows, reader):
    with pytest.raises(DataError, match=r"validation_fraction=0\.01 leaves no row for validation"):
        build_store(reader(rows(1)), tmp_path, validation_fraction=0.01, progress=False)
    with pytest.raises(ConfigError, match=r"data\.validation_fraction=1\.0"):
        build_store(reader(rows(1)), tmp_path, validation_fraction=1.0, progress=False)
    with pytest.raises(DataError, match="gave no rows"):
        build_store(reader([]), tmp_path, validation_fraction=0.5, progress=False)
    assert {path.suffix for path in tmp_path.glob("stores/*")} == {".lock"}


def test_a_damaged_store_is_built_again(tmp_path, rows, reader):
    store, _ = build_store(reader(rows(5)), tmp_path, progress=False)
    (store.path / "keys.npy").unlink()
    rebuilt, _ = build_store(reader(rows(5)), tmp_path, progress=False)
    assert rebuilt.keys.shape[0] == 5
