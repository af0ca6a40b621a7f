"""The rows of a comparison: one average of one system, and how it differs from the system's baseline."""

from dataclasses import asdict, dataclass

from mixlingua.evaluation.question_values import RANK_DISTANCE

AVERAGE, LANGUAGE, PAIR = "average", "language", "pair"  # the scopes of a row
LOWER_IS_BETTER = frozenset({RANK_DISTANCE})

Interval = tuple[float, float]


@dataclass(frozen=True)
class Difference:
    """A system minus its baseline, for one average.

    interval: over questions (bootstrap); seeds_interval: over seeds (Welch), None where a side has one seed. p_value:
    of the paired permutation test; p_holm: corrected for all tests of its table. effect_size: Cohen's d over
    questions, None where it is not defined. better, equal, worse: queries, by their means over seeds.
    """

    baseline: str
    value: float
    interval: Interval
    seeds_interval: Interval | None
    p_value: float
    p_holm: float
    effect_size: float | None
    better: int
    equal: int
    worse: int


@dataclass(frozen=True)
class ComparisonRow:
    """One average of one system over its seeds.

    scope: "average" over all languages or pairs of a setting; "language": those with the queries in one language;
    "pair": one query and one passage language. Languages that are averaged over are "all". interval: over questions
    (bootstrap); seeds_interval: over seeds (Student's t), None with one seed. difference: None for a baseline.
    """

    system: str
    task: str
    setting: str
    metric: str
    scope: str
    query_language: str
    passage_language: str
    num_questions: int
    num_seeds: int
    value: float
    interval: Interval
    seeds_interval: Interval | None
    difference: Difference | None

    def plain(self) -> dict[str, object]:
        """All fields, as JSON can hold them."""
        return asdict(self)

    def significant(self, confidence: float) -> bool:
        """Whether the corrected p-value is below 1 - confidence."""
        return self.difference is not None and self.difference.p_holm < 1 - confidence

    @property
    def gain(self) -> float:
        """The difference to the baseline, above 0 where the system is better; 0 without a baseline."""
        value = self.difference.value if self.difference else 0.0
        return -value if self.metric in LOWER_IS_BETTER else value


def family_of(row: ComparisonRow) -> tuple[str, ...]:
    """The table whose tests are corrected together with that of the row.

    One table of main metrics and one of rank distance over all tasks and systems, one by query language for each task,
    one by pair for each task and system.
    """
    if row.scope == AVERAGE:
        return (AVERAGE, RANK_DISTANCE if row.metric == RANK_DISTANCE else "main")
    return (LANGUAGE, row.task) if row.scope == LANGUAGE else (PAIR, row.task, row.system)
