"""Small parallel data, a small benchmark, and the entry point as a process or inside the test's own."""

import itertools
import json
import os
import random
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from mixlingua.cli.command_line import ACTIONS

REPOSITORY = Path(__file__).resolve().parents[2]
WORDS = {
    "de": ["Hund", "Katze", "Haus", "Baum", "Fluss", "Berg", "Stadt", "Wolke", "Stein", "Brot", "Milch", "Wald"],
    "en": ["dog", "cat", "house", "tree", "river", "mountain", "town", "cloud", "stone", "bread", "milk", "forest"],
    "fr": ["chien", "chat", "maison", "arbre", "fleuve", "montagne", "ville", "nuage", "pierre", "pain", "lait",
           "forêt"],
}  # fmt: skip


def parallel_rows(count: int = 60) -> list[dict[str, Any]]:
    """Rows of the own-data format: a query of three words, a passage of four, in three languages."""
    draw = random.Random(7)
    rows = []
    for number in range(count):
        chosen = draw.sample(range(12), 4)
        queries = {code: f"{' '.join(words[word] for word in chosen[:3])} {number}?" for code, words in WORDS.items()}
        passages = {code: f"{' '.join(words[word] for word in chosen)} {number}." for code, words in WORDS.items()}
        rows.append({"id": f"row-{number}", "queries": queries, "passages": passages})
    return rows


def write_rows(path: Path, rows: list[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")


def write_benchmark(folder: Path, count: int = 12) -> None:
    """Files in the format of XQuAD-R, one question to a sentence."""
    folder.mkdir()
    for language, words in WORDS.items():
        paragraphs = []
        for number in range(count):
            sentence = f"{words[number]} {words[number - 1]} {words[number - 5]}."
            answer = {"answer_start": 0, "text": sentence}
            question = {"id": str(number), "question": f"{words[number]}?", "answers": [answer]}
            breaks = [[0, len(sentence)]]
            paragraphs.append(
                {"context": sentence, "sentences": [sentence], "sentence_breaks": breaks, "qas": [question]}
            )
        (folder / f"{language}.json").write_text(json.dumps({"data": [{"paragraphs": paragraphs}]}), encoding="utf-8")


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")  # equal to the bit whatever the machine, and no more threads than cores


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A folder with pairs.jsonl and xquad-r/."""
    write_rows(tmp_path / "pairs.jsonl", parallel_rows())
    write_benchmark(tmp_path / "xquad-r")
    return tmp_path


@pytest.fixture
def arguments(data: Path) -> Callable[..., list[str]]:
    """The command line of a training run of 7 steps on `data`, measured before and after; later arguments win.

    Of another action, what it reads of these.
    """
    given = {
        "data": "jsonl",
        "data.sources.jsonl.path": str(data / "pairs.jsonl"),
        "data.languages": "[de,en,fr]",
        "data.batch_size": "8",
        "data.num_workers": "0",
        "model": "tiny",
        "optimizer.lr": "1e-3",
        "evaluation": "[xquad_r]",
        "evaluation.tasks.xquad_r.languages": "[de,en]",
        "paths.data": str(data),
        "trainer.max_steps": "7",
        "trainer.precision": "32-true",  # equal figures whatever the machine
        "evaluation.precision": "32-true",
        "checkpoint.every_n_steps": "2",
    }

    def line(*more: str) -> list[str]:
        flags = [text for text in more if text.startswith("-")]
        own = dict(text.split("=", 1) for text in more if not text.startswith("-"))
        action = ACTIONS[own.get("action", "train")]
        besides = (keys for setting, keys in action.only.items()
                   if (own.get(setting.partition("=")[0], "none") != "none") != setting.endswith("=null"))  # fmt: skip
        read = (*action.uses, *itertools.chain(*besides), *action.keys, "paths")
        chosen = {"data": "data.sources", "evaluation": "evaluation.tasks"}  # what a choice of the group fills
        settings = {key: value for key, value in given.items()
                    if any(f"{chosen.get(key, key)}.".startswith(f"{part}.") for part in read)} | own  # fmt: skip
        if settings.get("evaluation") == "[]":
            settings.pop("evaluation.tasks.xquad_r.languages", None)
        if "trainer.precision" in settings and "evaluation.precision" not in own:
            settings.pop("evaluation.precision", None)  # it follows that of training
        return [*flags, *(f"{key}={value}" for key, value in settings.items())]

    return line


@pytest.fixture
def start(arguments: Callable[..., list[str]], tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen]]:
    """Starts `python run.py` with these arguments, output as text, as a process of its own; alone: with no others."""
    started: list[subprocess.Popen] = []

    def run(*more: str, alone: bool = False) -> subprocess.Popen:
        line = more if alone else arguments(*more)
        process = subprocess.Popen(
            [sys.executable, str(REPOSITORY / "run.py"), *line],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(tmp_path)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            start_new_session=True,  # a process group of its own, as a shell gives it
        )
        started.append(process)
        return process

    yield run
    for process in started:
        process.kill()
        process.communicate()


@pytest.fixture
def launch(arguments: Callable[..., list[str]], entry: Callable[[list[str]], int]) -> Callable[..., int]:
    """`python run.py` with these arguments inside the test's process; returns the exit status."""
    return lambda *more: entry(arguments(*more))
