import multiprocessing
import os
import signal

import pytest

from mixlingua.data.build import build_store
from mixlingua.errors import DataError


def test_a_store_is_built_once_and_again_where_the_source_changes(tmp_path, rows, reader):
    class Counted(reader):
        reads = 0

        def rows(self):
            Counted.reads += 1
            return super().rows()

    first = build_store(Counted(rows(5)), tmp_path, progress=False)
    again = build_store(Counted(rows(5)), tmp_path, progress=False)
    assert (first.path, first.fingerprint) == (again.path, again.fingerprint)
    assert Counted.reads == 1
    other = build_store(Counted(rows(6)), tmp_path, progress=False)
    assert other.num_rows == 6
    assert other.fingerprint != first.fingerprint


def test_a_source_without_rows_leaves_nothing_behind(tmp_path, reader):
    with pytest.raises(DataError, match="gave no rows"):
        build_store(reader([]), tmp_path, progress=False)
    assert {path.suffix for path in tmp_path.glob("stores/*")} == {".lock"}


def test_a_damaged_store_is_built_again(tmp_path, rows, reader):
    store = build_store(reader(rows(5)), tmp_path, progress=False)
    (store.path / "keys.npy").unlink()
    rebuilt = build_store(reader(rows(5)), tmp_path, progress=False)
    assert rebuilt.keys.shape[0] == 5


def test_what_a_killed_build_left_is_removed_by_the_next(tmp_path, rows, reader):
    class Killed(reader):
        def rows(self):
            yield from super().rows()
            os.kill(os.getpid(), signal.SIGKILL)

    process = multiprocessing.get_context("fork").Process(target=build_store, args=(Killed(rows(5)), tmp_path))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL and len(list(tmp_path.glob("stores/.*.partial"))) == 1
    (tmp_path / "stores" / ".other.x.partial").mkdir()
    assert build_store(reader(rows(5)), tmp_path, progress=False).num_rows == 5
    assert [path.name for path in tmp_path.glob("stores/.*.partial")] == [".other.x.partial"]
