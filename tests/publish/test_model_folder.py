"""RUN/model as others expect it: sentence-transformers' own configuration, and files that everybody may read."""

import json
import os
import stat
from pathlib import Path

import pytest
from sentence_transformers import SentenceTransformer

from mixlingua import load_encoder
from mixlingua.model.folder import save_folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("saved") / "model"
    mask = os.umask(0o027)
    try:
        save_folder(load_encoder("tiny", query_prefix="query: ", passage_prefix="passage: ").module, target)
    finally:
        os.umask(mask)
    return target


def test_the_configuration_is_what_sentence_transformers_writes(folder: Path, tmp_path: Path) -> None:
    SentenceTransformer(str(folder), device="cpu").save(str(tmp_path / "theirs"))
    name = "config_sentence_transformers.json"
    ours, theirs = (json.loads((place / name).read_text()) for place in (folder, tmp_path / "theirs"))
    assert ours == theirs
    assert set(ours["__version__"]) == {"sentence_transformers", "transformers", "pytorch"}


def test_prompts_have_the_names_that_mteb_takes(folder: Path) -> None:
    """mteb refuses a model with a prompt named otherwise than a task, a kind of task, or a side: "passage" is none."""
    prompts = json.loads((folder / "config_sentence_transformers.json").read_text())["prompts"]
    assert prompts == {"query": "query: ", "document": "passage: "}
    mteb = pytest.importorskip("mteb")
    wrapped = mteb.models.SentenceTransformerEncoderWrapper(SentenceTransformer(str(folder), device="cpu"))
    assert wrapped.model_prompts == prompts


def test_files_follow_the_umask(folder: Path) -> None:
    modes = {path.relative_to(folder).as_posix(): stat.S_IMODE(path.stat().st_mode) for path in folder.rglob("*")}
    assert stat.S_IMODE(folder.stat().st_mode) == 0o750
    assert {mode for name, mode in modes.items() if (folder / name).is_file()} == {0o640}
    assert {mode for name, mode in modes.items() if (folder / name).is_dir()} == {0o750}
