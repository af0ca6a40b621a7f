"""What an index is made of, whatever searches it: how documents are cut, encoded, stored and transformed."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar, NamedTuple, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from mixlingua.errors import check_whole
from mixlingua.retrieval.passage_transforms import HubCorrection, Joining, PassageTransforms
from mixlingua.search.folder import IndexFolder, Manifest
from mixlingua.search.windows import Windowing

Vectors = NDArray[np.float32]
Mask = NDArray[np.bool_]


class Found(NamedTuple):
    """scores: (Q, K) float32, highest first; rows: (Q, K) int64, -1 where no further row was found."""

    scores: Vectors
    rows: NDArray[np.int64]


class Engine(Protocol):
    """Searches the rows of an index. Safe to call from several threads."""

    def search(self, queries: Vectors, count: int, language: str | None) -> Found:
        """The `count` rows that score highest for each of (Q, D) queries, in a language or in all.

        Rows that are deleted are not among them. There are `count` wherever so many rows may be found.
        """


@dataclass(frozen=True)
class IndexSettings(ABC):
    """What indexes of every kind have.

    windows: how long documents are cut
    shard_size: windows that are encoded and stored together: what a stopped build repeats at most
    recall_queries: first sentences of windows by which the engine is compared with exact search; 0: no comparison
    transforms: what is done to the vectors before they are searched; needs all of them in memory, P² D operations
    """

    KIND: ClassVar[str]

    windows: Windowing = field(default_factory=Windowing)
    shard_size: int = 16384
    recall_queries: int = 200
    transforms: PassageTransforms = field(default_factory=PassageTransforms)

    def __post_init__(self) -> None:
        for name, least in (("shard_size", 1), ("recall_queries", 0)):
            check_whole(f"index.{name}", getattr(self, name), least)

    @property
    def transforms_vectors(self) -> bool:
        """Whether other vectors are searched than those of the encoder."""
        return self.transforms != PassageTransforms()

    @property
    @abstractmethod
    def is_exact(self) -> bool:
        """Whether every vector is scored as it is."""

    @abstractmethod
    def check(self, dim: int, num_rows: int) -> None:
        """Raise ConfigError where vectors of so many components, or so few rows, cannot be indexed in this way."""

    @abstractmethod
    def num_bytes(self, num_rows: int, dim: int) -> int:
        """About how much is written beside the vectors."""

    @abstractmethod
    def fill(self, folder: IndexFolder, first_row: int) -> Mapping[str, Any]:
        """Make what is searched hold all rows of the folder, where it may hold those before `first_row` already.

        Returns the changed fields of the manifest, which `IndexFolder.commit` is still to write: until then, searches
        of the index as it was find what they found.
        """

    @abstractmethod
    def clean_up(self, folder: IndexFolder, before: Manifest) -> None:
        """Remove what is no longer searched, once the index is committed. Searches do not depend on it."""

    @abstractmethod
    def open(self, folder: IndexFolder) -> Engine:
        """The engine of an index that is built."""

    def record(self) -> dict[str, Any]:
        """As index.json holds them."""
        return {"kind": self.KIND, **asdict(self)}

    @classmethod
    def of_record(cls, record: Mapping[str, Any]) -> Self:
        """The settings that `record` gave."""
        fields = {name: value for name, value in record.items() if name != "kind"}
        steps = fields["transforms"]
        fields["transforms"] = PassageTransforms(
            steps["context_weight"],
            Joining(**steps["joining"]) if steps["joining"] else None,
            HubCorrection(**steps["hub_correction"]) if steps["hub_correction"] else None,
        )
        return cls(**{**fields, "windows": Windowing(**fields["windows"])})
