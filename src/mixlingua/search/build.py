"""Making an index, and adding to one: documents are read and cut, encoded shard by shard, and put into an engine.

A stopped build goes on where it was: documents are read again only where the reading had not ended, and shards whose
vectors are there are not encoded again. Several processes share the encoding without talking to each other: each takes
every n-th shard, and the first one waits for the files of the others, which must therefore be on a common disk.
"""

import os
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
from numpy.typing import NDArray

from mixlingua.errors import ConfigError, DataError, StorageError
from mixlingua.files import atomic_write, content_hash
from mixlingua.retrieval.passage_transforms import PassageTransforms
from mixlingua.retrieval.shards import write_vectors
from mixlingua.search.documents import Corpus
from mixlingua.search.encoding import Encoding
from mixlingua.search.engines import exact
from mixlingua.search.folder import MANIFEST, READING, IndexFolder, Manifest
from mixlingua.search.reading import Progress, Reader, Reading
from mixlingua.search.settings import IndexSettings
from mixlingua.search.windows import titled

_ARRIVED = ".process-"  # files by which the first process knows that another one takes part
_SAMPLE = 64  # texts by which the rate of encoding is measured
_RECALL_AT = 10
_POLL = 0.5  # seconds between two looks for the files of another process


@dataclass(frozen=True)
class Cost:
    """What there is to do before anything is encoded. rate: tokens a second and process, measured on `sample` texts.

    num_bytes: that are written; free: on the disk.
    """

    num_windows: int
    num_done: int
    num_tokens: int
    rate: float
    sample: int
    processes: int
    num_bytes: int
    free: int

    @property
    def seconds(self) -> float:
        """How long encoding what is missing takes at that rate."""
        missing = self.num_tokens * (1 - self.num_done / max(self.num_windows, 1))
        return missing / self.rate / self.processes


def share() -> tuple[int, int]:
    """The position of this process among those that build an index, and their number: of torchrun or of SLURM."""
    for position, number in (("RANK", "WORLD_SIZE"), ("SLURM_PROCID", "SLURM_STEP_NUM_TASKS")):
        if position in os.environ and number in os.environ:
            return int(os.environ[position]), int(os.environ[number])
    return 0, 1


class Build:
    """The documents of a corpus on their way into a folder, which may hold an index already."""

    def __init__(
        self,
        base: IndexFolder,
        corpus: Corpus,
        settings: IndexSettings,
        encoding: Encoding,
        progress: Progress,
        gone: NDArray[np.int64] | None = None,
    ) -> None:
        """base: the index that is added to; one without shards for a new one. gone: rows of it that are taken out when
        the documents are put in."""
        self.base, self.corpus, self.settings, self.encoding = base, corpus, settings, encoding
        self.progress = progress
        self.gone = np.zeros(0, np.int64) if gone is None else gone
        self.first_shard = len(base.manifest.shards)
        self.position, self.processes = share()

    def read(self) -> Reading:
        """The documents as rows on disk, read by the first process. Raises DataError for what is wrong with them."""
        key = content_hash(
            self.corpus.identity(), repr(self.settings.windows), str(self.settings.shard_size), str(self.first_shard),
            str(self.encoding.model["fingerprint"]), str(self.encoding.model["precision"]),
        )  # fmt: skip
        file = self.base.path / READING
        if self.position:
            wait(lambda: Reading.of_file(file, key) is not None)
            (self.base.path / f"{_ARRIVED}{self.position}").touch()
        elif not self.first_shard:
            (self.base.path / MANIFEST).unlink(missing_ok=True)  # of an index whose files are replaced
        if known := Reading.of_file(file, key):
            return known
        file.unlink(missing_ok=True)
        for folder in ("rows", "vectors"):
            for path in (self.base.path / folder).glob("*"):
                if path.stem.isdigit() and int(path.stem) >= self.first_shard:
                    path.unlink()  # of a build of other documents that was stopped
        tokenizer = self.encoding.encoder.tokenizer
        reading = Reader(self.corpus, self.settings, tokenizer, self.base, self.progress).read(key)
        reading.save(file)
        return reading

    def cost(self, reading: Reading) -> Cost:
        """What encoding takes, by encoding some texts. Raises ConfigError where the index cannot be made of so many
        windows, StorageError where the disk has too little room."""
        folder = self._with(reading)
        dim = self._searched_dim
        self.settings.check(dim, folder.num_rows)
        if self.settings.transforms_vectors:
            self._check_transforms(folder, self._all_gone(folder, reading))
        done = sum(folder.manifest.shards[shard] for shard in self._new(reading) if folder.vectors_file(shard).exists())
        first, last = int(folder.starts[self.first_shard]), folder.num_rows
        sample = np.random.default_rng(0).choice(np.arange(first, last), min(_SAMPLE, last - first), replace=False)
        texts = [titled(row.title, row.text) for row in map(folder.row, sample.tolist())]
        self.encoding(texts[:4], "passage")  # the first call prepares what later ones have
        started = time.monotonic()
        self.encoding(texts, "passage")
        seconds = max(time.monotonic() - started, 1e-6)
        tokens = sum(map(len, self.encoding.encoder.tokenizer.encode(texts, "passage")))
        needed = 4 * self.encoding.dim * (reading.num_windows - done)
        needed += self.settings.num_bytes(folder.num_rows, dim)
        needed += 4 * dim * folder.num_rows if self.settings.transforms_vectors else 0
        free = shutil.disk_usage(self.base.path).free
        if needed > free:
            raise StorageError(
                f"{self.base.path}: the index needs {needed / 1e9:.1f} GB, but {free / 1e9:.1f} GB are free there. "
                "Free some space, or choose a folder on another disk (hydra.run.dir)."
            )
        return Cost(
            reading.num_windows, done, reading.num_tokens, tokens / seconds, len(texts), self.processes, needed, free
        )

    def encode(self, reading: Reading) -> IndexFolder:
        """Encode this process's share of the missing shards. Returns the folder with all rows, not yet committed."""
        folder = self._with(reading)
        mine = [shard for shard in self._new(reading) if shard % self.processes == self.position]
        total = sum(folder.manifest.shards[shard] for shard in mine)
        done = 0
        for shard in mine:
            if not folder.vectors_file(shard).exists():
                columns = (folder.table(shard).column(name).to_pylist() for name in ("title", "text"))
                texts = [titled(title, text) for title, text in zip(*columns, strict=True)]
                write_vectors(folder.vectors_file(shard), self.encoding(texts, "passage"))
            done += folder.manifest.shards[shard]
            self.progress("encoding", done, total)
        return folder

    def finish(self, folder: IndexFolder, reading: Reading, about: Mapping[str, Any]) -> IndexFolder:
        """Put all vectors into the engine, once the other processes have made theirs, and commit the index.

        Documents that the index had under the same ids are replaced, and those of `gone` are taken out. about: figures
        for the card.
        """
        others = [self.base.path / f"{_ARRIVED}{number}" for number in range(1, self.processes)]
        wait(lambda: all(marker.exists() for marker in others))
        wait(lambda: all(folder.vectors_file(shard).exists() for shard in self._new(reading)))
        for marker in others:
            marker.unlink()
        gone = self._all_gone(folder, reading)
        corpus = {**self.corpus.describe(), **about, "documents": reading.num_documents,
                  "windows": reading.num_windows, "tokens": reading.num_tokens, "languages": reading.languages,
                  "detected": reading.num_detected, "left_out": reading.left_out}  # fmt: skip
        corpora = [*self.base.manifest.about.get("corpora", ()), corpus]
        return _commit(self.base, folder, self.settings, self.encoding, gone, {"corpora": corpora})

    @property
    def _searched_dim(self) -> int:
        return self.encoding.dim + (self.settings.transforms.hub_correction is not None)

    def _all_gone(self, folder: IndexFolder, reading: Reading) -> NDArray[np.int64]:
        """The rows of the index that are taken out, and those of documents that are replaced."""
        if not self.first_shard:
            return self.gone
        ids = [
            pc.filter(folder.table(shard).column("document"), pc.equal(folder.table(shard).column("number"), 0))
            for shard in self._new(reading)
        ]
        return np.union1d(self.gone, self.base.rows_of_documents(pa.concat_arrays(ids)))

    def _check_transforms(self, folder: IndexFolder, gone: NDArray[np.int64]) -> None:
        steps = self.settings.transforms
        found = {
            name: int(folder.of_language(name).sum() - folder.of_language(name)[gone].sum())
            for name in folder.languages
        }
        windows = {name: count for name, count in found.items() if count}
        if steps.joining and len(windows) < 2:
            raise ConfigError(
                f"index.transforms.joining: needs documents in two languages or more; all are in {', '.join(windows)}."
            )
        if steps.hub_correction and (problem := steps.hub_correction.problem(windows)):
            raise ConfigError(f"index.transforms.{problem}")

    def _new(self, reading: Reading) -> range:
        return range(self.first_shard, self.first_shard + len(reading.shards))

    def _with(self, reading: Reading) -> IndexFolder:
        return self.base.changed(shards=(*self.base.manifest.shards, *reading.shards))


def empty_index(path: Path, settings: IndexSettings, encoding: Encoding) -> IndexFolder:
    """An index without documents, to be built."""
    manifest = Manifest((), encoding.dim, encoding.model, settings.record(), generation=0)
    return IndexFolder(path, manifest)


def delete(base: IndexFolder, settings: IndexSettings, encoding: Encoding, ids: Sequence[str]) -> IndexFolder:
    """Take documents out of an index. Raises DataError, naming them, for ids that it does not have."""
    return _commit(base, base, settings, encoding, rows_to_delete(base, ids), {})


def rows_to_delete(base: IndexFolder, ids: Sequence[str]) -> NDArray[np.int64]:
    """The rows of documents. Raises DataError, naming them, for ids that the index does not have."""
    rows = base.rows_of_documents(pa.array(ids, pa.string()))
    known = set(base.document_ids(rows.tolist()))
    if unknown := [name for name in ids if name not in known]:
        more = f" and {len(unknown) - 3:,} more" if len(unknown) > 3 else ""
        named = ", ".join(unknown[:3])
        raise DataError(
            f"index.delete: no document {named}{more} in {base.path}. Nothing was deleted; ids are "
            "shown by action=search in RUN/results.json."
        )
    return rows


def _commit(
    base: IndexFolder, folder: IndexFolder, settings: IndexSettings, encoding: Encoding,
    gone: NDArray[np.int64], about: Mapping[str, Any],
) -> IndexFolder:  # fmt: skip
    """Make an index of all rows of `folder` but those that are gone, and let it take the place of `base`."""
    generation = base.manifest.generation + 1
    folder = folder.changed(generation=generation)
    if len(gone):
        name = f"deleted-{generation}.npy"
        rows = np.union1d(np.flatnonzero(base.deleted), gone).astype(np.int64)
        with atomic_write(folder.path / name) as partial:
            np.save(partial, rows)
        folder = folder.changed(deleted=name)
    started = time.monotonic()
    first_row = base.num_rows
    if settings.transforms_vectors and not folder.deleted.all():
        folder, first_row = _transformed(folder, settings.transforms), 0  # every vector may be another one now
    folder = folder.changed(**settings.fill(folder, first_row))
    about = {**base.manifest.about, **about, "engine_seconds": time.monotonic() - started}
    about["recall"] = _recall(folder, settings, encoding)
    finished = folder.changed(about=about)
    finished.commit()
    settings.clean_up(finished, base.manifest)
    for name in ("searched", "deleted"):
        old, new = getattr(base.manifest, name), getattr(finished.manifest, name)
        if old is not None and old != new and old != "vectors":
            path = base.path / old
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    return finished


def _transformed(folder: IndexFolder, transforms: PassageTransforms) -> IndexFolder:
    """The folder with other vectors to be searched, in a folder of their own. Deleted rows change nothing."""
    rows = np.flatnonzero(~folder.deleted)
    vectors = torch.from_numpy(np.concatenate([folder.vectors(shard) for shard, _ in folder.blocks()])[rows])
    languages = np.concatenate([folder.table(shard).column("language").to_pylist() for shard, _ in folder.blocks()])
    found = transforms.passages(vectors, _contexts(folder, rows, vectors), languages[rows].tolist())
    everything = torch.zeros(folder.num_rows, found.shape[1])
    everything[torch.from_numpy(rows)] = found
    name = f"searched-{folder.manifest.generation}"
    for shard, start in folder.blocks():
        part = everything[start : start + folder.manifest.shards[shard]]
        write_vectors(folder.path / name / f"{shard:05d}.npy", part)
    return folder.changed(searched=name, dim=found.shape[1])


def _contexts(folder: IndexFolder, rows: NDArray[np.int64], vectors: torch.Tensor) -> torch.Tensor:
    """(n, D): for each row, the direction of the mean of its document's windows."""
    numbers = np.concatenate([folder.table(shard).column("number").to_numpy() for shard, _ in folder.blocks()])
    document = torch.from_numpy(np.cumsum(numbers[rows] == 0) - 1)
    sums = torch.zeros(int(document[-1]) + 1, vectors.shape[1]).index_add_(0, document, vectors)
    return torch.nn.functional.normalize(sums, dim=1)[document]


def _recall(folder: IndexFolder, settings: IndexSettings, encoding: Encoding) -> dict[str, Any] | None:
    """Recall@10 of the engine against exact search; None where it is exact, or is not to be measured.

    The queries are the first sentences of windows that are drawn at random.
    """
    rows = np.flatnonzero(~folder.deleted)
    if settings.is_exact or not settings.recall_queries or not len(rows):
        return None
    from sentencex import segment

    chosen = np.random.default_rng(1).choice(rows, min(settings.recall_queries, len(rows)), replace=False)
    windows = map(folder.row, chosen.tolist())
    texts = [next(iter(segment(row.language.partition("-")[0], row.text)), row.title) for row in windows]
    queries = settings.transforms.queries(encoding(texts, "query")).numpy()
    found = settings.open(folder).search(queries, _RECALL_AT, None).rows
    right = exact(queries, folder, _RECALL_AT, ~folder.deleted).rows
    share = np.mean([len(set(a) & set(b)) / len(b) for a, b in zip(found.tolist(), right.tolist(), strict=True)])
    return {f"recall_at_{_RECALL_AT}": float(share), "queries": len(texts)}


def wait(ready: Callable[[], bool]) -> None:
    """Return once another process has done what is waited for. Where that one fails, its launcher ends this one too."""
    while not ready():
        time.sleep(_POLL)
