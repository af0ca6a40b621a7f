"""One metric's values per query, by the queries' language, as a run folder holds them."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from mixlingua.errors import DataError
from mixlingua.evaluation.metrics import Floats
from mixlingua.evaluation.run_folder import Stage


def values_by_language(
    run_dir: Path, task: str, setting: str, metric: str, stage: Stage = "after"
) -> dict[str, Floats] | None:
    """Query language -> the values of its queries; None where the setting or the metric was not measured.

    Raises DataError where the file is damaged.
    """
    path = run_dir / ("per_query_before" if stage == "before" else "per_query") / f"{task}_{setting}.parquet"
    if not path.exists():
        return None
    try:
        if metric not in pq.read_schema(path).names:
            return None
        table = pq.read_table(path, columns=["query_language", metric])
    except (OSError, pa.ArrowException) as error:
        raise DataError(f"{path}: cannot be read ({error}); evaluate the run again.") from error
    languages = np.array(table["query_language"].to_pylist())
    values = table[metric].to_numpy().astype(np.float64)
    return {str(language): values[languages == language] for language in np.unique(languages)}
