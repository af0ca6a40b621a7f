"""What a reader of a comparison must know of its runs."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from mixlingua.app.setups import Setup
from mixlingua.evaluation.comparison import Resampling
from mixlingua.evaluation.comparison_rows import ComparisonRow, family_of
from mixlingua.evaluation.evaluated_run import EvaluatedRun

_PROVENANCE = {"step": "Steps trained", "mixlingua": "Versions of mixlingua", "commit": "Commits"}


def comparison_notes(
    groups: Sequence[Setup],
    baselines: Mapping[str, str],
    systems: Mapping[str, Sequence[EvaluatedRun]],
    rows: Sequence[ComparisonRow],
    resampling: Resampling,
) -> list[str]:
    """A sentence each for: nothing to test, seeds, differences in provenance, pretraining, too few resamples."""
    notes = [] if baselines else ["There is one set-up, so that there is nothing to test it against."]
    notes += _seeds(groups)
    for key, what in _PROVENANCE.items():
        values = {label: sorted({str(run.provenance.get(key)) for run in runs}) for label, runs in systems.items()}
        if len({value for found in values.values() for value in found}) > 1:
            notes.append(f"{what} differ: {_listed(values)}.")
    texts = dict.fromkeys(run.provenance.get("pretraining") for runs in systems.values() for run in runs)
    notes += [f"Pretrained weights: {text}." for text in texts if text]
    return notes + list(_resolution(rows, resampling))


def _seeds(groups: Sequence[Setup]) -> Iterator[str]:
    seeds = {group.label: [str(seed) for seed in sorted(run.config["seed"] for run in group.runs)] for group in groups}
    if single := [label for label, values in seeds.items() if len(values) == 1]:
        yield f"One seed only, so no interval over seeds: {', '.join(single)}."
    if len({tuple(values) for values in seeds.values()}) > 1:
        yield f"Seeds are not the same everywhere: {_listed(seeds)}."


def _resolution(rows: Sequence[ComparisonRow], resampling: Resampling) -> Iterator[str]:
    """A table with many tests needs many resamples before anything in it can be significant."""
    tests = max(Counter(family_of(row) for row in rows if row.difference).values(), default=0)
    level = 1 - resampling.confidence
    if tests / (resampling.resamples + 1) >= level:
        yield (
            f"{resampling.resamples:,} resamples are too few for a table with {tests} tests: no corrected p-value "
            f"there can be below {level:.2g}. Give comparison.resamples={round(2 * tests / level)} or more."
        )


def _listed(values: Mapping[str, Sequence[str]]) -> str:
    return "; ".join(f"{label}: {', '.join(found)}" for label, found in values.items())
