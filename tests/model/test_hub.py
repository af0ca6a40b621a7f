"""The hub's path, on a server of our own: fetched, trained, evaluated, saved; and every way in which it can fail."""

import json
import logging
import os

import pytest
import torch
from huggingface_hub import hf_hub_download
from torch import nn

from mixlingua.errors import DataError, HubError, ModelError, StorageError
from mixlingua.files import local_or_fetched
from mixlingua.hub import fetch_snapshot, on_endpoint, remove_damaged
from mixlingua.model.folder import save_folder
from mixlingua.model.pretrained import PretrainedEncoder
from mixlingua.model.weights import find_weights

TEXTS = ["Wie hoch ist der Berg?", "", "ein Wort"]
LABSE = {
    "pooling": "cls", "layers": ["Dense"], "query_prefix": "Query: ", "passage_prefix": "Passage: ",
    "max_query_length": 32, "max_passage_length": 32,
}  # fmt: skip


@pytest.fixture
def hub(hub_of, labse, monkeypatch):
    """A client waits little and never tries again after a pause."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DOWNLOAD_TIMEOUT", 0.5)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_ETAG_TIMEOUT", 0.5)
    monkeypatch.setattr("huggingface_hub.file_download.time.sleep", lambda seconds: None)
    return hub_of(labse)


def test_fetched_trained_and_saved_with_sentence_transformers_vectors(hub, tmp_path, assert_same_vectors):
    encoder = PretrainedEncoder("owner/labse", **LABSE).load(seed=0)
    assert not any(path.endswith((".bin", ".py")) for path in hub.seen)
    optimizer = torch.optim.SGD(encoder.parameters(), lr=0.1)
    queries, passages = encoder(encoder.tokenizer.queries(TEXTS)), encoder(encoder.tokenizer.passages(TEXTS))
    nn.functional.cross_entropy(queries @ passages.T / 0.05, torch.arange(3)).backward()
    optimizer.step()
    encoder.eval()
    save_folder(encoder, tmp_path / "trained")
    assert_same_vectors(encoder, tmp_path / "trained")


def test_what_is_in_the_cache_needs_no_hub(hub, monkeypatch):
    first = find_weights("owner/labse", None, 0)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    hub.seen.clear()
    assert find_weights("owner/labse", None, 0) == first and not hub.seen


def test_a_cache_that_transformers_alone_filled_is_not_labse(hub, monkeypatch):
    """Offline, the files that transformers does not know are missing; the recipe says what it expects."""
    for name in ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"):
        hf_hub_download("owner/labse", name, endpoint=hub.url)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(ModelError, match=r"model\.layers=\['Dense'\]"):
        PretrainedEncoder("owner/labse", **LABSE).load(seed=0)


@pytest.mark.parametrize("fault", ["truncated", "reset", "slow", "chunked", "corrupted"])
def test_a_body_that_does_not_come_whole_is_a_message_and_nothing_broken_stays(hub, fault, tmp_path):
    hub.fault = fault
    reason = {"corrupted": "damaged", "slow": "did not answer in time|early"}.get(fault, "early|Error")
    with pytest.raises(ModelError, match=rf"owner/labse: not in the local cache.*({reason})"):
        find_weights("owner/labse", None, 0)
    assert not list((tmp_path / "hub").rglob("snapshots/*/model.safetensors"))
    hub.fault = None
    assert PretrainedEncoder("owner/labse", **LABSE).load(seed=0).embedding_dim == 32


@pytest.mark.parametrize(
    ("status", "code", "reason"),
    [
        (401, "", "HF_TOKEN"),
        (401, "RepoNotFound", "check the name"),
        (403, "", "HF_TOKEN"),
        (403, "GatedRepo", r"is gated: .*HF_TOKEN"),
        (404, "RepoNotFound", "check the name"),
        (429, "", "too often"),
        (500, "", "server has trouble"),
        (503, "", "server has trouble"),
    ],
)
def test_every_refusal_of_the_hub_has_its_message(hub, status, code, reason):
    hub.api_fault = (status, code)
    with pytest.raises(ModelError, match=rf"owner/labse: not in the local cache.*{reason}"):
        find_weights("owner/labse", None, 0)


@pytest.mark.parametrize(("status", "reason"), [(401, "HF_TOKEN"), (403, "HF_TOKEN"), (404, "lacks"), (500, "trouble")])
def test_every_refusal_of_a_file_has_its_message(hub, status, reason, tmp_path):
    hub.fault = status
    with pytest.raises(ModelError, match=reason):
        find_weights("owner/labse", None, 0)
    hub.fault = None
    assert find_weights("owner/labse", None, 0).is_dir()


def test_a_missing_revision_is_named(hub):
    with pytest.raises(ModelError, match="has no revision 'v9'"):
        find_weights("owner/labse", "v9", 0)


def test_a_full_disk_is_a_message(hub, monkeypatch):
    def full(*args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("huggingface_hub.file_download.http_get", full)
    with pytest.raises(StorageError, match="disk is full"):
        find_weights("owner/labse", None, 0)


def test_a_file_of_the_cache_that_was_damaged_later_is_removed_and_fetched_again(hub):
    folder = find_weights("owner/labse", None, 0)
    blob = (folder / "model.safetensors").resolve()
    blob.write_bytes(blob.read_bytes()[:5000])
    os.utime(blob, (0, 0))
    with pytest.raises(ModelError, match=r"model\.safetensors was damaged and is removed"):
        PretrainedEncoder("owner/labse", **LABSE).load(seed=0)
    assert PretrainedEncoder("owner/labse", **LABSE).load(seed=0).embedding_dim == 32


def test_a_part_of_a_repository_is_not_taken_for_the_whole(hub, monkeypatch):
    fetch_snapshot("owner/labse", None, ["config.json"])
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(HubError, match=r"only a part .* HF_HUB_OFFLINE"):
        fetch_snapshot("owner/labse", None, ["*.json", "*.safetensors"])


def test_files_outside_a_hubs_cache_are_never_removed(labse):
    before = sorted(labse.rglob("*"))
    assert remove_damaged(labse) == [] and sorted(labse.rglob("*")) == before


def test_data_sets_come_from_the_same_hub(hub, labse):
    folder = fetch_snapshot("owner/data", None, ["1_Pooling/*"], data=True)
    assert json.loads((folder / "1_Pooling/config.json").read_text())["pooling_mode_cls_token"]
    assert any("/api/datasets/owner/data" in path for path in hub.seen)
    with pytest.raises(HubError, match="has no revision 'v9'"):
        fetch_snapshot("owner/data", "v9", ["*"], data=True)


def test_single_files_follow_the_endpoint_too(hub, tmp_path):
    assert on_endpoint("https://huggingface.co/datasets/a/b") == f"{hub.url}/datasets/a/b"
    assert on_endpoint("https://example.org/a") == "https://example.org/a"


@pytest.mark.parametrize("fault", ["truncated", "chunked", "reset", 404, 500])
def test_a_single_file_that_does_not_come_whole_is_a_message(hub, tmp_path, fault):
    hub.fault = fault
    cached = tmp_path / "cache" / "model.safetensors"
    with pytest.raises(DataError, match=r"task t needs model\.safetensors: .*could not be fetched \(.+\)"):
        local_or_fetched(
            "model.safetensors",
            needed_by="task t",
            folder=tmp_path,
            cached=cached,
            url=f"{hub.url}/owner/name/resolve/main/model.safetensors",
            verify=lambda file: None,
        )
    assert not list(cached.parent.glob("*"))


def test_requests_of_the_client_do_not_fill_the_log():
    from omegaconf import OmegaConf

    from mixlingua.files import conf_folder

    config = OmegaConf.load(conf_folder() / "hydra" / "job_logging" / "mixlingua.yaml")
    for name in ("httpx", "httpx2"):
        assert logging.getLevelName(config.loggers[name].level) > logging.INFO
