"""Pages of the site that are made from the code: the configuration from conf/, the library from docstrings.

MkDocs calls the hooks `on_config` and `on_files` (mkdocs.yml). The configuration page lists every group, choice and
key. A key's default is that of conf/ or else of the constructor. Its meaning is the comment in conf/ or else the line
`name: meaning` of the constructor's docstring.
"""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

REPOSITORY = Path(__file__).resolve().parents[2]
CONF = REPOSITORY / "conf"
SOURCE = REPOSITORY / "src" / "mixlingua"
LIBRARY = "Library"  # heading of the generated pages in the navigation


@dataclass
class Key:
    name: str
    default: str
    meaning: str


@dataclass
class Choice:
    """One file of conf/: what it is for, what it constructs, and its keys."""

    name: str
    purpose: str
    target: str = ""
    keys: list[Key] = field(default_factory=list)


def packages() -> list[str]:
    """The packages of the library in the order of their layers, lowest first, without those that hold commands only."""
    order = ["sampling", "data", "model", "losses", "retrieval", "evaluation", "mining", "translation"]
    order += ["search", "comparison", "training", "report", "publish", "serving", "cli"]
    assert set(order) == {path.parent.name for path in SOURCE.glob("*/__init__.py")}
    return order


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    pages = [{"mixlingua": "reference/mixlingua.md"}]
    pages += [{f"mixlingua.{name}": f"reference/{name}.md"} for name in packages()]
    next(section["Reference"] for section in config.nav or [] if "Reference" in section).append({LIBRARY: pages})
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    files.append(File.generated(config, "reference/configuration.md", content=configuration_page()))
    files.append(File.generated(config, "reference/mixlingua.md", content=library_page("mixlingua")))
    for name in packages():
        files.append(File.generated(config, f"reference/{name}.md", content=library_page(name)))
    return files


def library_page(package: str) -> str:
    """One page for a package, with a section for each of its modules."""
    folder = SOURCE if package == "mixlingua" else SOURCE / package
    paths = sorted(folder.glob("*.py") if package == "mixlingua" else folder.rglob("*.py"))
    title = "mixlingua" if package == "mixlingua" else f"mixlingua.{package}"
    modules = [path for path in paths if path.name != "__init__.py"]
    names = [".".join(path.relative_to(SOURCE.parent).with_suffix("").parts) for path in modules]
    return f"# {title}\n\n" + "".join(f"::: {name}\n\n" for name in names)


def configuration_page() -> str:
    """Every group, choice and key of conf/ as Markdown."""
    lines = [
        "# Configuration",
        "",
        "`python run.py GROUP=CHOICE KEY=VALUE` sets what this page lists. A key of a group is given with its path,",
        "such as `sampler.alpha=0.4`. `python run.py --cfg job` prints the whole result.",
        "",
        "## Keys of no group",
        "",
        *_key_table(read_choice(CONF / "config.yaml").keys),
        "",
    ]
    for folder in sorted(path for path in CONF.iterdir() if path.is_dir() and path.name != "hydra"):
        lines += [f"## `{folder.name}`", ""]
        for choice in map(read_choice, sorted(folder.glob("*.yaml"))):
            lines += [f"### `{folder.name}={choice.name}`", "", choice.purpose, ""]
            if choice.target:
                lines += [f"Constructs `{choice.target}`.", ""]
            if choice.keys:
                lines += [*_key_table(choice.keys), ""]
    return "\n".join(lines)


def read_choice(path: Path) -> Choice:
    """What a configuration file says, completed by the signatures and docstrings of what it constructs."""
    text = path.read_text(encoding="utf-8")
    prose = [line[1:].strip() for line in text.splitlines() if line.startswith("#") and "@package" not in line]
    keys = _commented_keys(path)
    content = yaml.safe_load(text) or {}
    targets = list(_targets(content, ""))
    for prefix, target in targets:
        written = {key.name: key for key in keys}
        defaults, meanings = constructor(target)
        for name, default in defaults.items():
            full = f"{prefix}{name}"
            if full in written:
                written[full].meaning = written[full].meaning or meanings.get(name, "")
            elif not any(other.startswith(f"{full}.") for other in written):
                keys.append(Key(full, default, meanings.get(name, "")))
    return Choice(path.stem, " ".join(prose), ", ".join(target for _, target in targets), keys)


def _targets(node: Any, prefix: str) -> Iterator[tuple[str, str]]:
    """(path with a dot at its end, dotted name) of every `_target_` in the file."""
    if isinstance(node, dict):
        if "_target_" in node:
            yield prefix, str(node["_target_"])
        for name, value in node.items():
            yield from _targets(value, f"{prefix}{name}.")


def _commented_keys(path: Path) -> list[Key]:
    """The scalar keys of a YAML file with their values and the comments on their lines."""
    keys, parents = [], []
    for line in path.read_text(encoding="utf-8").splitlines():
        match = re.fullmatch(r"( *)([\w@/]+):(?:\s+(.*?))?\s*", line)
        if not match:
            continue
        indent, name, rest = len(match[1]), match[2], match[3] or ""
        value, _, comment = rest.partition(" #") if not rest.startswith("#") else ("", "", rest[1:])
        parents = [parent for parent in parents if parent[0] < indent]
        full = ".".join([*(parent[1] for parent in parents), name])
        parents.append((indent, name))
        if name != "_target_" and not full.startswith(("defaults", "hydra")) and value.strip():
            keys.append(Key(full, value.strip(), comment.strip()))
    return keys


@cache
def constructor(target: str) -> tuple[dict[str, str], dict[str, str]]:
    """Arguments of a class or function with their defaults, and their meanings from its docstrings.

    target: a dotted name. Nothing is imported: what does not belong to mixlingua gives two empty dictionaries.
    """
    module, _, name = target.rpartition(".")
    path = REPOSITORY / "src" / Path(*module.split(".")).with_suffix(".py")
    if not path.exists():
        path = REPOSITORY / "src" / Path(*module.split(".")) / "__init__.py"
    if not module.startswith("mixlingua") or not path.exists():
        return {}, {}
    tree = ast.parse(path.read_text(encoding="utf-8"))
    definition = next((n for n in tree.body if isinstance(n, ast.ClassDef | ast.FunctionDef) and n.name == name), None)
    if definition is None:
        return {}, {}
    docs = ast.get_docstring(definition) or ""
    if isinstance(definition, ast.FunctionDef):
        return _arguments(definition), _meanings(docs)
    inits = [n for n in definition.body if isinstance(n, ast.FunctionDef) and n.name == "__init__"]
    if inits:
        return _arguments(inits[0]), _meanings(f"{docs}\n{ast.get_docstring(inits[0]) or ''}")
    fields = [n for n in definition.body if isinstance(n, ast.AnnAssign) and isinstance(n.target, ast.Name)]
    defaults = {ast.unparse(n.target): ast.unparse(n.value) if n.value else "required" for n in fields}
    return defaults, _meanings(docs)


def _arguments(function: ast.FunctionDef) -> dict[str, str]:
    arguments = function.args
    positional = [a.arg for a in arguments.args if a.arg not in {"self", "cls"}]
    defaults: list[ast.expr | None] = [*([None] * (len(positional) - len(arguments.defaults))), *arguments.defaults]
    names = [*positional, *(a.arg for a in arguments.kwonlyargs)]
    pairs = zip(names, [*defaults, *arguments.kw_defaults], strict=True)
    return {name: ast.unparse(default) if default else "required" for name, default in pairs}


def _meanings(docstring: str) -> dict[str, str]:
    """`name: meaning` at the start of a line, continued by the lines below it that are no such line and not blank."""
    meanings: dict[str, str] = {}
    name = None
    for line in docstring.splitlines():
        match = re.match(r"\s*([a-z_][\w]*(?:, [a-z_]\w*)*): (.+)", line)
        if match:
            name = match[1]
            for each in name.split(", "):
                meanings[each] = match[2]
        elif not line.strip():
            name = None
        elif name:
            for each in name.split(", "):
                meanings[each] += f" {line.strip()}"
    return meanings


def as_yaml(default: str) -> str:
    """A default of a signature as a configuration file has it: null, true, [de, en], {}; anything else stays."""
    factory = re.fullmatch(r"field\(default_factory=(dict|list)\)", default)
    if factory:
        return "{}" if factory[1] == "dict" else "[]"
    try:
        value = ast.literal_eval(default)
    except (ValueError, SyntaxError):
        return default
    if isinstance(value, tuple):
        value = list(value)
    if not isinstance(value, bool | str | list | dict) and value is not None:
        return default
    return yaml.safe_dump(value, default_flow_style=True, width=1000).removesuffix("\n...\n").strip()


def _key_table(keys: list[Key]) -> list[str]:
    def cell(text: str) -> str:
        return text.replace("|", "\\|").replace("<", "&lt;")

    in_sections = sorted(keys, key=lambda key: (("." in key.name), key.name.rpartition(".")[0]))
    rows = [f"| `{key.name}` | `{as_yaml(key.default)}` | {cell(key.meaning)} |" for key in in_sections]
    return ["| key | default | meaning |", "|---|---|---|", *rows]
