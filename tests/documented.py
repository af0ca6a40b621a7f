"""The code blocks of the pages, and the commands that pages, configuration files and results name."""

import csv
import re
import shlex
from collections.abc import Iterable, Iterator
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
DOCS = REPOSITORY / "docs"
README = REPOSITORY / "README.md"
PAGES = [README, REPOSITORY / "CONTRIBUTING.md", *sorted(DOCS.rglob("*.md"))]
CONFIGS = [path for path in sorted((REPOSITORY / "conf").rglob("*.yaml")) if "hydra" not in path.parts]  # but the help
BLOCK = re.compile(r"^(<!-- not run: [^\n]+ -->\n)?( *)```(\w*)\n(.*?)^ *```$", re.DOTALL | re.MULTILINE)
PROGRAM = "python run.py"
NOT_TESTED = re.compile(r"# not tested: (.+)")
# Why the tests do not run a command: the words after `# not tested:`, behind it or, for several, in a line before them.
REASONS = (
    "needs a GPU", "needs several GPUs", "needs the network", "needs the network and a GPU", "needs SLURM",
    "needs a key of W&B", "tests/e2e/test_tune.py does", "tests/e2e/test_launchers.py does",
    "needs a cluster of Milvus", "needs models of your own", "needs freedict", "serves until it is stopped",
)  # fmt: skip
_ELSEWHERE = {"experiment=mine", "GROUP=CHOICE KEY=VALUE", "--config-dir mine/conf loss=squared"}  # tests of their own


def blocks(page: Path, language: str) -> list[str]:
    """The page's code blocks in a language, without those that are marked as not run."""
    matches = BLOCK.findall(page.read_text(encoding="utf-8"))
    return [code for unrun, _, name, code in matches if name == language and not unrun]


def command_lines(code: str) -> list[str]:
    """The single commands of a shell block: continued lines joined, `&&` taken apart, comments left out."""
    lines = code.replace("\\\n", " ").splitlines()
    commands = (shlex.split(command, comments=True) for line in lines for command in line.split("&&"))
    return [shlex.join(command) for command in commands if command]


def _marked(lines: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Each line that names the program, and why it is not tested: what its own comment says, or the one before it."""
    above = ""
    for line in lines:
        found = NOT_TESTED.search(line)
        if PROGRAM in line:
            yield line, found[1] if found else above
        else:
            above = found[1] if found else ""


def _lines() -> Iterator[tuple[str, str]]:
    for page in PAGES:
        for code in blocks(page, "bash"):
            yield from _marked(code.replace("\\\n", " ").splitlines())
        yield from ((text, "") for text in re.findall(rf"`({PROGRAM}[^`\n]*)`", page.read_text(encoding="utf-8")))
    for path in CONFIGS:
        lines = path.read_text(encoding="utf-8").splitlines()
        yield from _marked(re.sub(rf"(`?)({PROGRAM}[^`]*)\1.*", r"\2", line) for line in lines)
    for path in sorted((DOCS / "results").glob("*.csv")):
        with path.open(encoding="utf-8", newline="") as file:
            rows = [row for row in csv.DictReader(file) if row["older_sources"] == "no"]
        commands = [command for row in rows if (command := row.get("command", "")).startswith(PROGRAM)]
        yield from ((command, "needs a GPU" if "trainer=gpu" in command else "") for command in commands)


def run_commands() -> dict[str, str]:
    """What follows `python run.py`, each once and sorted, and why the tests do not run it; empty where they do."""
    commands: dict[str, str] = {}
    for line, reason in _lines():
        command = shlex.join(shlex.split(line.partition(PROGRAM)[2].split("&&")[0], comments=True))
        commands[command] = commands.get(command) or reason
    return {command: reason for command, reason in sorted(commands.items()) if command not in _ELSEWHERE}
