"""What an index is made of and how it is searched: the settings of conf/index."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from mixlingua.search.windows import Windowing


@dataclass(frozen=True)
class IndexSettings:
    """An index of faiss.

    factory: what is searched, as faiss writes it
    windows: how long documents are cut
    shard_size: windows that are encoded and stored together; what a stopped build repeats at most
    """

    factory: str = "Flat"
    windows: Windowing = field(default_factory=Windowing)
    shard_size: int = 16384

    def record(self) -> Mapping[str, Any]:
        """As index.json holds them."""
        return asdict(self)

    def engine_bytes(self, num_rows: int, dim: int) -> int:
        """Bytes of what is searched in the place of the vectors."""
        return 0
