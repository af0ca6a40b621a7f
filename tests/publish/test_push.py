"""action=push against a hub of our own: what is shown, what arrives, and what a refusal says."""

import json
from pathlib import Path

import pytest
import torch

from mixlingua.errors import HubError
from mixlingua.hub import upload_folder
from mixlingua.model.pretrained import PretrainedEncoder
from mixlingua.publish.card import CARD


@pytest.fixture
def hub(hub_of, tmp_path, monkeypatch):
    """The server, with an empty folder for what arrives."""
    (tmp_path / "arrived").mkdir()
    server = hub_of(tmp_path / "arrived")
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", server.url)
    return server


def files_of(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_dry_run_shows_files_and_card_and_asks_no_hub(hub, run_dir, launch, capsys):
    assert launch("action=push", f"run={run_dir}", "repo=owner/retriever") == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "Would upload" in said and "owner/retriever" in said and "model.safetensors" in said
    assert "Language bias" in said and "Nothing was uploaded" in said
    assert hub.seen == []


def test_the_files_of_the_model_arrive_whole(hub, run_dir, launch, capsys):
    (run_dir / "model" / ".hidden").write_text("stays")
    assert launch("action=push", f"run={run_dir}", "repo=owner/retriever", "dry_run=false") == 0
    expected = files_of(run_dir / "model")
    assert expected.pop(".hidden")
    assert files_of(hub.folder) == expected
    assert b"retriever" in expected[CARD]
    assert hub.created == {"name": "retriever", "organization": "owner", "visibility": "private"}
    assert "POST /api/validate-yaml" in hub.seen
    assert "Uploaded: " in capsys.readouterr().out


def test_a_card_that_was_edited_is_kept_where_that_is_asked_for(hub, run_dir, launch):
    edited = (run_dir / "model" / CARD).read_text() + "\nEdited.\n"
    (run_dir / "model" / CARD).write_text(edited)
    assert launch("action=push", f"run={run_dir}", "repo=owner/retriever", "dry_run=false", "card.rewrite=false") == 0
    assert (hub.folder / CARD).read_text() == edited


def test_uploading_needs_a_repository(run_dir, launch, capsys):
    assert launch("action=push", f"run={run_dir}", "dry_run=false") == 2
    assert "repo=owner/name" in capsys.readouterr().err


@pytest.mark.parametrize("state", ["failed", "interrupted", "running"])
def test_a_run_that_is_not_finished_has_no_true_card(run_dir, launch, capsys, state):
    status = json.loads((run_dir / "status.json").read_text())
    (run_dir / "status.json").write_text(json.dumps(status | {"state": state}))
    (run_dir / "config.yaml").write_text((run_dir / "config.yaml").read_text().replace("seed: 0", "seed: 7"))
    card = (run_dir / "model" / CARD).read_bytes()
    for options in ([], ["card.rewrite=false"]):
        assert launch("action=push", f"run={run_dir}", "repo=owner/retriever", *options) == 2
        assert f"run={run_dir}: its state is '{state}' (status.json), not 'finished'" in capsys.readouterr().err
    assert (run_dir / "model" / CARD).read_bytes() == card


def test_push_needs_a_run(launch, capsys):
    assert launch("action=push") == 2
    assert "run: needs a value" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("status", "code", "reason"),
    [(401, "", "HF_TOKEN"), (403, "", "may write there"), (500, "", "server has trouble"), (429, "", "too often")],
)
def test_a_refusal_says_what_to_do(hub, run_dir, status, code, reason):
    hub.api_fault = (status, code)
    with pytest.raises(HubError, match=rf"owner/retriever .*{reason}"):
        upload_folder(run_dir / "model", "owner/retriever", private=True, message="m")
    assert files_of(hub.folder) == {}


def test_a_card_that_the_hub_refuses_is_told_with_its_words(hub, run_dir):
    card = run_dir / "model" / CARD
    card.write_text(card.read_text().replace("- de\n", "- german\n", 1))
    with pytest.raises(HubError, match=r"refused the files: .*language.*german"):
        upload_folder(run_dir / "model", "owner/retriever", private=True, message="m")
    assert files_of(hub.folder) == {}


def test_what_was_uploaded_gives_the_vectors_of_the_run(hub, run_dir, launch):
    assert launch("action=push", f"run={run_dir}", "repo=owner/retriever", "dry_run=false") == 0
    there, here = (PretrainedEncoder(str(folder)).load(0).eval() for folder in (hub.folder, run_dir / "model"))
    features = here.tokenizer.queries(["Wo liegt Kairo?"])
    with torch.inference_mode():
        assert torch.equal(there(features), here(features))
