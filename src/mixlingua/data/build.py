"""From a reader to its stores, once: cached by what the files contain."""

import logging
import shutil
from itertools import chain, islice
from pathlib import Path

from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from mixlingua.data.rows import Reader, unit_interval
from mixlingua.data.store import FORMAT_VERSION, ParallelStore, StoreWriter
from mixlingua.errors import ConfigError, DataError
from mixlingua.files import atomic_folder, content_hash, lock

log = logging.getLogger(__name__)


def build_store(
    reader: Reader, cache_root: str | Path, *, validation_fraction: float = 0.0, progress: bool = True
) -> tuple[ParallelStore, ParallelStore | None]:
    """The training store of a reader and, where validation_fraction > 0, its validation store.

    A store is built under cache_root once and found again as long as the files' content, the reader's options and
    validation_fraction stay the same; one that is damaged is built again. All languages are kept, whichever are trained
    on. Rows with the same split_key fall on the same side; the fraction holds for the expected number of split keys.
    Raises DataError for bad files and for a split that leaves a side empty, ConfigError for a fraction outside [0, 1).
    """
    if not 0.0 <= validation_fraction < 1.0:
        raise ConfigError(f"validation_fraction is {validation_fraction}; it must be at least 0 and below 1.")
    fingerprint = content_hash(str(FORMAT_VERSION), reader.name, reader.fingerprint(), repr(float(validation_fraction)))
    folder = Path(cache_root) / "stores" / f"{reader.name}-{fingerprint[:16]}"
    try:
        return _open(folder, validation_fraction)
    except DataError:  # not there yet, damaged, or about to be written by another process
        with lock(folder):
            _build_unless_whole(reader, folder, fingerprint, validation_fraction, progress)
    return _open(folder, validation_fraction)


def _build_unless_whole(
    reader: Reader, folder: Path, fingerprint: str, validation_fraction: float, progress: bool
) -> None:
    if folder.exists():
        try:
            _open(folder, validation_fraction)
            return
        except DataError as error:
            log.warning("%s Building it again.", error)
            shutil.rmtree(folder)
    _write(reader, folder, fingerprint, validation_fraction, progress)


def _open(folder: Path, validation_fraction: float) -> tuple[ParallelStore, ParallelStore | None]:
    return ParallelStore(folder / "train"), ParallelStore(folder / "validation") if validation_fraction else None


def _write(reader: Reader, folder: Path, fingerprint: str, validation_fraction: float, progress: bool) -> None:
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    rows = reader.rows()
    # A reader that has to fetch and prepare does so before its first row, and says how far it is itself.
    first = list(islice(rows, 1))
    with atomic_folder(folder) as partial, Progress(*columns, disable=not progress, transient=True) as bar:
        task = bar.add_task(f"reading {reader.name}", total=None)
        writers = {}
        names = {"train": reader.name, "validation": f"{reader.name} (held out)"}
        for side in names if validation_fraction else ("train",):
            (partial / side).mkdir()
            writers[side] = StoreWriter(partial / side, name=names[side], fingerprint=f"{fingerprint}/{side}")
        try:
            for row in chain(first, rows):
                held_out = unit_interval(row.split_key or row.passage_id) < validation_fraction
                writers["validation" if held_out else "train"].add(row)
                bar.advance(task)
            _check_split(reader.name, writers, validation_fraction)
            for writer in writers.values():
                writer.finish()
        finally:
            for writer in writers.values():
                writer.abandon()


def _check_split(name: str, writers: dict[str, StoreWriter], validation_fraction: float) -> None:
    empty = [side for side, writer in writers.items() if not writer.num_rows]
    if empty and validation_fraction and len(empty) < len(writers):
        raise DataError(
            f"source '{name}': validation_fraction={validation_fraction} leaves no row for {empty[0]}. "
            "The source is too small to be split so; choose another fraction or 0."
        )
