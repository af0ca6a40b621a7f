"""Written files and folders: the umask, symbolic links, and places that cannot be written."""

import os
import stat

import pytest
import torch
from safetensors.torch import save_file

from mixlingua.errors import ConfigError, StorageError
from mixlingua.files import atomic_folder, atomic_write, lock
from mixlingua.model.local_weights import tiny_folder
from mixlingua.model.pretrained import PretrainedEncoder


@pytest.fixture
def umask():
    before = os.umask(0o027)
    yield
    os.umask(before)


def modes(folder):
    return {stat.S_IMODE(entry.stat().st_mode) for entry in folder.rglob("*") if entry.is_file()}


def test_weights_follow_the_umask(umask, own_cache, tmp_path):
    """safetensors writes for the owner alone."""
    from mixlingua.model.folder import save_folder

    assert modes(tiny_folder(0)) == {0o640}
    settings = {"pooling": "mean", "layer_weights": [0.5, 0.5]}
    save_folder(PretrainedEncoder("tiny", **settings).load(0), tmp_path / "model")
    assert modes(tmp_path / "model") == {0o640}
    folders = [tmp_path / "model", *(entry for entry in (tmp_path / "model").rglob("*") if entry.is_dir())]
    assert {stat.S_IMODE(folder.stat().st_mode) for folder in folders} == {0o750}
    with atomic_write(tmp_path / "one.safetensors") as partial:
        save_file({"a": torch.zeros(1)}, partial)
    assert stat.S_IMODE((tmp_path / "one.safetensors").stat().st_mode) == 0o640


def test_a_symbolic_link_is_replaced_and_its_target_kept(tmp_path):
    target = tmp_path / "target"
    target.mkdir()
    (target / "precious").touch()
    (tmp_path / "model").symlink_to(target)
    with atomic_folder(tmp_path / "model") as folder:
        (folder / "new").touch()
    assert (tmp_path / "model" / "new").exists() and not (tmp_path / "model").is_symlink()
    assert (target / "precious").exists()


def test_only_what_is_of_the_same_kind_is_replaced(tmp_path):
    place = tmp_path / "thesis"
    place.write_text("text")
    with pytest.raises(ConfigError, match=r"thesis: a file, .* Choose a new folder\."), atomic_folder(place, "m.json"):
        raise AssertionError
    assert place.read_text() == "text"
    place.unlink()
    place.mkdir()
    for name in ("m.json", "ch1.tex"):
        with atomic_folder(place, "*.json") as folder:  # an empty folder, then one that has the mark
            (folder / name).touch()
        assert [entry.name for entry in place.iterdir()] == [name]
    for mark in ("*.json", None):
        with (
            pytest.raises(ConfigError, match=r"thesis: holds ch1\.tex, which would be lost"),
            atomic_folder(place, mark),
        ):
            raise AssertionError
    assert [entry.name for entry in tmp_path.iterdir()] == ["thesis"]
    assert [entry.name for entry in place.iterdir()] == ["ch1.tex"]


@pytest.mark.parametrize("write", [atomic_folder, atomic_write, lock])
def test_a_place_that_cannot_be_written_is_a_message(tmp_path, write):
    """A file where a folder is needed fails for every user; missing rights do not for root."""
    (tmp_path / "file").touch()
    with (
        pytest.raises(StorageError, match=r"file/cache/model: cannot be written"),
        write(tmp_path / "file/cache/model"),
    ):
        pass


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_cache_is_a_message(own_cache, tmp_path):
    tmp_path.chmod(0o555)
    with pytest.raises(StorageError, match="cannot be written"):
        tiny_folder(0)
    tmp_path.chmod(0o755)
