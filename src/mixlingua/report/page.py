"""HTML pages: one self-contained file each, without scripts, written whole."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

from mixlingua.data.tokenizer import Cut
from mixlingua.files import atomic_write
from mixlingua.languages import language_name
from mixlingua.report.plain_table import minus, plain_name, spoken

# Keys of a run's provenance in the order of the page, and what they are called; others follow under their own name.
_NAMES = {
    "model": "Model", "revision": "Revision of the model", "weights": "SHA-256 of the encoder before training",
    "num_parameters": "Parameters", "pretraining": "Pretrained on", "seed": "Seed", "average": "Averages",
    "step": "Steps trained", "max_steps": "Steps planned", "batch_size": "Pairs per step", "sampler": "Batches",
    "final_weights": "Weights at the end",
    "data": "Training data", "num_rows": "Training rows", "training_languages": "Training languages",
    "adapter": "Adapter", "postprocess": "Layer fitted afterwards", "precision": "Precision", "hardware": "Hardware",
    "commit": "Commit", "mixlingua": "mixlingua", "python": "Python", "packages": "Packages",
}  # fmt: skip


def provenance_rows(provenance: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What decided a run: name and text. That of the tasks' data has a table of its own."""
    keys = [*(key for key in _NAMES if key in provenance), *(key for key in provenance if key not in _NAMES)]
    known = ((_NAMES.get(key, key), plain_text(provenance[key])) for key in keys if key not in ("tasks", "cut"))
    return [(name, text) for name, text in known if text]


def choice_text(chosen: Mapping[str, Any]) -> str:
    """What was chosen of a group, such as "hybrid (alpha 0.5, exponent 1.0)"."""
    name = str(chosen.get("_target_", "")).rpartition(".")[2].lower()
    settings = ", ".join(f"{key} {value}" for key, value in chosen.items() if key != "_target_")
    return f"{name} ({settings})" if settings else name


def plain_text(value: Any) -> str:
    """A value of the provenance for a reader; empty for None."""
    if isinstance(value, Mapping) and "_target_" in value:
        return choice_text(value)
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {plain_text(inner)}" for key, inner in value.items())
    if isinstance(value, (list, tuple)):
        return ", ".join(map(plain_text, value))
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}" if value >= 10_000 else str(value)
    return "" if value is None else str(value)


def cut_notes(provenance: Mapping[str, Any]) -> list[str]:
    """What a run has to say of texts that were longer than the model reads: in training, then in each benchmark."""
    trained = provenance.get("cut", {})
    notes = [(f"trained on {name}", side, cut, True) for name, sides in trained.items() for side, cut in sides.items()]
    for name, about in provenance["tasks"].items():
        notes += [(name, side, cut, False) for side, cut in about.get("cut", {}).items()]
    said = ((name, Cut(**cut).note(side, sampled)) for name, side, cut, sampled in notes)
    return [f"{name}: {note}." for name, note in said if note]


def data_rows(tasks: Mapping[str, Mapping[str, Any]]) -> dict[str, list[tuple[str, str]]]:
    """Benchmark -> what its data are: revision, licence, what to know of them, languages and sizes."""
    return {task: [(name, text) for name, text in _described(about) if text] for task, about in tasks.items()}


def _described(about: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    yield "Revision", plain_text(about.get("revision"))
    yield "Licence", plain_text(about.get("licence"))
    yield "Note", plain_text(about.get("note"))
    yield "Languages", " ".join(about.get("languages", ()))
    yield "Queries", _total(about.get("num_queries"))
    yield "Candidates", _total(about.get("num_candidates"))


def file_rows(tasks: Mapping[str, Mapping[str, Any]]) -> Iterator[tuple[str, str]]:
    """Name and SHA-256 of every file that a benchmark was read from."""
    for task, about in tasks.items():
        for name, digest in about.get("files", {}).items():
            yield f"{task} {name}", str(digest)


def _total(number: Any) -> str:
    if number is None:
        return ""
    return f"{sum(number.values()) if isinstance(number, Mapping) else number:,}"


def write_page(path: Path, template: str, content: Mapping[str, object]) -> Path:
    """Write a page of a template of this package. Returns the path."""
    with atomic_write(path) as partial:
        partial.write_text(rendered(template, content), encoding="utf-8")
    return path


def rendered(template: str, content: Mapping[str, object], package: str = "mixlingua.report") -> str:
    """A template of the package's folder `templates`, filled; every text is escaped in one of HTML."""
    environment = Environment(
        loader=PackageLoader(package),
        autoescape=select_autoescape(["html"]),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"minus": minus, "language_name": language_name, "metric_name": plain_name, "spoken": spoken}
    return environment.get_template(template).render(content)
