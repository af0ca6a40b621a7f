"""What is known of a metric by its key, for those who read results and compute none."""

TOP = 10  # the passages whose languages are counted
# What some queries have no value for: nothing relevant is in another language, or in their own, or nothing at all is.
PARTIAL = frozenset({
    "recall_other_at_10", "recall_other_at_100", "map_drop_without_own", "own_language_excess_at_10",
})  # fmt: skip


def share_metric(language: str) -> str:
    """The key of a language's share of the first 10 passages."""
    return f"share_of_{language}_at_{TOP}"


def share_language(metric: str) -> str | None:
    """The language whose share a key names, None of another metric."""
    language = metric.removeprefix("share_of_").removesuffix(f"_at_{TOP}")
    return language if metric == share_metric(language) else None
