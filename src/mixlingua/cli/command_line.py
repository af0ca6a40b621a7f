"""What can be typed: the actions, the options, the groups of conf/ with their choices, and the help.

Read without Hydra and torch, which take seconds to import.
"""

import argparse
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from string import Template

import yaml

from mixlingua.files import conf_folder


@dataclass(frozen=True)
class Action:
    """What `action=NAME` does.

    function: "module:name" of `name(cfg, run_dir) -> dict of headline figures`. about: for --help. uses: what it reads
    of the configuration, whole parts or single keys of one; parts are checked before it starts. needs: keys that must
    not be empty, each with what is said where it is. only: what it reads besides where a setting is as said; NAME is
    any choice. keys: further ones that may be typed for it.
    """

    function: str
    about: str
    uses: tuple[str, ...]
    needs: Mapping[str, str] = field(default_factory=dict)
    only: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    keys: tuple[str, ...] = ()

    @property
    def may_read(self) -> tuple[str, ...]:
        """All that may be typed for it, whatever else is said."""
        return (*self.uses, *(key for keys in self.only.values() for key in keys), *self.keys)


def parts_of(keys: Iterable[str]) -> tuple[str, ...]:
    """The top-level parts of the configuration in which keys stand, each once."""
    return tuple(dict.fromkeys(key.partition(".")[0] for key in keys))


_RUNS = {"runs": "runs: needs a value; add runs=multirun/DATE/TIME, a run's folder, or a list: runs=[A,B]."}
_TRAINED = ("data", "sampler", "augmentation", "model", "adapter", "teacher", "loss", "optimizer", "trainer",
            "checkpoint", "averaging", "postprocess", "evaluation", "callbacks", "logger", "card")  # fmt: skip
_ROWS = tuple(
    f"data.{name}" for name in ("sources", "validation_sources", "validation_fraction", "max_rows", "languages")
)  # of training; a postprocess is fitted to them
_ENCODING = ("trainer.accelerator", "evaluation.token_budget", "evaluation.precision")
_MEASURED = ("evaluation.tasks", "evaluation.average")

# A new action is an entry here and a module beside this one.
ACTIONS = {
    "train": Action(
        "mixlingua.cli.train:train",
        "measure, train, measure again (the default)",
        _TRAINED,
        {"loss": "loss=[]: nothing to train by; choose one or several, such as loss=[infonce,distillation]."},
        keys=("keep_teacher_vectors",),
    ),
    "evaluate": Action(
        "mixlingua.cli.train:evaluate",
        "measure a model as it is",
        ("model", *_ENCODING, "checkpoint.save_model", "postprocess", *_MEASURED, "logger"),
        {"evaluation.tasks": "evaluation=[]: nothing to measure; choose one or several, such as evaluation=xquad_r."},
        only={"postprocess=NAME": (*_ROWS, "card")},
    ),
    "encode": Action(
        "mixlingua.cli.encode:encode",
        "the vectors of a source's texts, or of a file of texts",
        ("data.max_query_length", "data.max_passage_length", "model", *_ENCODING, "encode"),
        only={"encode.path=null": _ROWS},
        keys=("keep_teacher_vectors",),
    ),
    "mine": Action(
        "mixlingua.cli.mine:mine_negatives",
        "find hard negatives",
        (*_ROWS, "model", *_ENCODING, "mining"),
    ),
    "translate": Action(
        "mixlingua.cli.translate:translate",
        "make parallel pairs of those in one language",
        ("data.sources", "data.max_rows", "translator", "translation", "trainer.accelerator", "trainer.precision"),
    ),
    "compare": Action(
        "mixlingua.cli.compare:compare",
        "tables of runs, with significance",
        ("comparison",),
        _RUNS,
        keys=("runs", "baseline"),
    ),
    "index": Action(
        "mixlingua.cli.index:index",
        "make an index of documents, or add documents to one",
        ("model", *_ENCODING, "postprocess", "corpus", "index"),
        only={"postprocess=NAME": _ROWS},
    ),
    "search": Action(
        "mixlingua.cli.search:search",
        "search an index",
        ("model", *_ENCODING, "index"),
        {"index.path": "index: needs a value; add index=DIR, the run folder of an action=index."},
        keys=("query", "k", "language", "fair", "postprocess"),  # the last it refuses itself, saying why
    ),
    "push": Action(
        "mixlingua.cli.export:push",
        "show or upload a trained model to a hub",
        ("card",),
        {"run": "run: needs a value; add run=outputs/DATE/TIME, the folder of the run whose model is published."},
        keys=("run", "repo", "dry_run", "private"),
    ),
    "export": Action(
        "mixlingua.cli.export:export",
        "write a model for other programs",
        ("model",),
        only={"to=onnx": ("export",), "export.int8=true": (*_MEASURED, "evaluation.token_budget")},
        keys=("to",),
    ),
    "serve": Action(
        "mixlingua.cli.serve:serve",
        "answer searches and embed texts over HTTP",
        ("model", *_ENCODING, "index", "server"),
        keys=("corpus", "postprocess"),  # as search does
    ),
    "dashboard": Action(
        "mixlingua.cli.dashboard:dashboard", "a W&B workspace over runs", ("logger",), _RUNS, keys=("runs",)
    ),
}


# GROUP=PATH, where PATH is none of the group's choices, stands for GROUP=CHOICE GROUP.path=PATH.
_PATHS = {"corpus": "files", "index": "folder"}
_TEXTS = ("query",)  # their values are texts, in which Hydra's signs mean nothing


def spelled_out(arguments: Sequence[str]) -> list[str]:
    """A command line in Hydra's words: `corpus=PATH`, `index=DIR` and `query=TEXT` as the keys and quotes they mean.

    `GROUP=null` is `~GROUP` where conf/config.yaml chooses nothing. Lists, and sweeps of several values, are left.
    """
    spelled: list[str] = []
    sweep = bool({"-m", "--multirun"} & set(arguments))
    groups, defaults = config_groups(parsed(arguments).config_dir), default_choices()
    for argument in arguments:
        name, _, value = argument.partition("=")
        if not value or (sweep and "," in value):
            spelled.append(argument)
        elif value.lower() == "null" and name in defaults and defaults[name] is None:
            spelled.append(f"~{name}")
        elif name in _TEXTS:
            spelled.append(f"{name}={quoted(value)}")
        elif name in _PATHS and value not in (*groups[name], "null"):
            spelled += [f"{name}={_PATHS[name]}", f"{name}.path={quoted(value)}"]
        else:
            spelled.append(argument)
    return spelled


_PLAIN = re.compile(r"(?!(?:true|false|nan|inf)$)[a-z_./][\w./-]*", re.IGNORECASE | re.ASCII)


def quoted(text: str) -> str:
    """A text as Hydra and OmegaConf read it back, whatever signs it has; a plain word, and null, as they are."""
    if _PLAIN.fullmatch(text):
        return text
    before_quote = re.sub(r"(\\+)(?='|$)", r"\1\1", text)  # backslashes count where a quote follows
    return "'" + before_quote.replace("'", r"\'").replace("${", r"\${") + "'"


def parsed(arguments: Sequence[str]) -> argparse.Namespace:
    """The options of a command line; what is looked at by Hydra alone is `for_hydra`."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("overrides", nargs="*")
    parser.add_argument("--help", "-h", action="store_true")
    parser.add_argument("--version", action="store_true")
    parser.add_argument("--multirun", "-m", action="store_true")
    parser.add_argument("--config-dir", "-cd", type=Path)
    parser.add_argument("--config-name", "-cn", default="config")
    parser.add_argument("--cfg", "-c", choices=["job", "hydra", "all"])
    parser.add_argument("--resolve", action="store_true")
    parser.add_argument("--package", "-p")
    options, unknown = parser.parse_known_intermixed_args(list(arguments))
    options.for_hydra = unknown
    return options


def help_text(config_dir: Path | None = None) -> str:
    """What --help prints: conf/hydra/help/mixlingua.yaml with the actions, and the groups with their choices."""
    file = conf_folder() / "hydra" / "help" / "mixlingua.yaml"
    template = yaml.safe_load(file.read_text(encoding="utf-8"))["template"]
    groups, chosen = config_groups(config_dir), default_choices()
    width = max(map(len, [*groups, *ACTIONS])) + 2
    lines = []
    for group, choices in groups.items():
        default = chosen.get(group)
        defaults = default if isinstance(default, list) else [default]
        marked = (f"{choice}*" if choice in defaults else choice for choice in choices)
        lines.append(f"  {group:<{width}}{', '.join(marked)}")
    return Template(template).safe_substitute(
        ACTIONS="\n".join(f"  {name:<{width}}{action.about}" for name, action in ACTIONS.items()),
        APP_CONFIG_GROUPS="\n".join([*lines, "  (* chosen where nothing is said)"]),
    )


def config_groups(config_dir: Path | None = None) -> dict[str, list[str]]:
    """Group name -> its choices, sorted; Hydra's own groups left out."""
    groups: dict[str, set[str]] = {}
    for folder in [conf_folder(), *([config_dir] if config_dir else [])]:
        for file in folder.glob("*/*.yaml"):
            groups.setdefault(file.parent.name, set()).add(file.stem)
    return {group: sorted(groups[group]) for group in sorted(groups) if group != "hydra"}


def default_choices() -> dict[str, str | list[str] | None]:
    """Group name -> what conf/config.yaml chooses: a list where the group takes several choices."""
    entries = yaml.safe_load((conf_folder() / "config.yaml").read_text(encoding="utf-8"))["defaults"]
    return {group: choice for entry in entries if isinstance(entry, dict) for group, choice in entry.items()}
