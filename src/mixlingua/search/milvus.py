"""An index in Milvus: embedded in one file (Milvus Lite), or on a cluster, which takes more than one machine holds.

Milvus holds the vector and the language of each row, and finds rows. The rows' texts stay in the index's folder.
"""

import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from mixlingua.errors import ConfigError, DataError
from mixlingua.search.engines import exact
from mixlingua.search.folder import IndexFolder, Manifest
from mixlingua.search.settings import Engine, Found, IndexSettings, Vectors

logger = logging.getLogger(__name__)
TOKEN = "MILVUS_TOKEN"  # the environment variable that holds USER:PASSWORD or an API key; it is written nowhere
_MOST = 16384  # rows that Milvus returns for a query at most
_AT_ONCE = 1000  # rows that are sent together


@dataclass(frozen=True)
class MilvusSettings(IndexSettings):
    """An index in Milvus, through pymilvus. The environment variable MILVUS_TOKEN holds what a cluster asks for.

    uri: a file in the index's folder (Milvus Lite), or a cluster such as http://localhost:19530
    collection: the name of the collection, which is made; where transforms change every vector, the index's next
        state is in another one, NAME_2, and so on
    index_type: FLAT (exact), or another index of Milvus, such as HNSW, IVF_FLAT or DISKANN
    index_params: of that index, such as {M: 32, efConstruction: 200}; null: none
    search_params: of a search in it, such as {ef: 128}; null: none
    """

    KIND: ClassVar[str] = "milvus"

    uri: str = "milvus.db"
    collection: str = "mixlingua"
    index_type: str = "FLAT"
    index_params: Mapping[str, Any] | None = None
    search_params: Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.collection.isidentifier():
            raise ConfigError(f"index.collection={self.collection}: must be of letters, digits and underscores.")
        if "://" not in self.uri and Path(self.uri).name != self.uri:
            raise ConfigError(
                f"index.uri={self.uri}: the name of a file is needed, such as milvus.db, which is in the index's own "
                "folder (hydra.run.dir), or the address of a cluster, such as http://localhost:19530."
            )
        for name in ("index_params", "search_params"):  # not the configuration's own kind of mapping
            object.__setattr__(self, name, dict(getattr(self, name) or {}))

    @property
    def is_exact(self) -> bool:
        """FLAT scores every vector."""
        return self.index_type == "FLAT"

    def check(self, dim: int, num_rows: int) -> None:
        """Raise ConfigError where pymilvus is missing; the rest is Milvus' to judge."""
        _pymilvus()

    def num_bytes(self, num_rows: int, dim: int) -> int:
        """Of the embedded file; a cluster stores elsewhere."""
        return 0 if "://" in self.uri else num_rows * (4 * dim + 32)

    def fill(self, folder: IndexFolder, first_row: int) -> Mapping[str, Any]:
        """Send the rows of the new shards, or all of them to a new collection where first_row is 0."""
        client = self._client(folder.path)
        generation = folder.manifest.generation
        name = self.collection if generation == 1 else f"{self.collection}_{generation}"
        try:
            if first_row:
                name = self._collection(client, folder)
            else:
                self._make_collection(client, folder, name)
            for shard, start in folder.blocks():
                if start >= first_row:
                    self._send(client, name, folder, shard, start)
            client.flush(name)
        except _pymilvus().MilvusException as error:
            raise DataError(f"index.uri={self.uri}: Milvus refuses the rows ({error.message}).") from error
        finally:
            client.close()
        return {"engine": name}

    def clean_up(self, folder: IndexFolder, before: Manifest) -> None:
        """Drop the collection that was searched before, and delete rows. A warning is all where that fails, since
        `Milvus.search` passes deleted rows over."""
        rows = np.flatnonzero(folder.deleted).tolist()  # with those that an earlier change could not delete
        client = self._client(folder.path)
        name = self._collection(client, folder)
        try:
            if before.engine not in (None, name):
                client.drop_collection(before.engine)
            for begin in range(0, len(rows), _AT_ONCE):
                client.delete(name, ids=rows[begin : begin + _AT_ONCE])
            client.flush(name)
        except _pymilvus().MilvusException as error:
            logger.warning("index.uri=%s: Milvus still holds what is deleted (%s)", self.uri, error.message)
        finally:
            client.close()

    def open(self, folder: IndexFolder) -> Engine:
        """A connection to the collection. Raises DataError where it is not there."""
        client = self._client(folder.path)
        name = self._collection(client, folder)
        client.load_collection(name)
        return Milvus(folder, self, client, name)

    def _collection(self, client: Any, folder: IndexFolder) -> str:
        """The collection that the index names. Raises DataError where it is not there."""
        name = folder.manifest.engine
        if name is None or not client.has_collection(name):
            client.close()
            raise DataError(f"index.uri={self.uri}: no collection '{name}' there. Build the index again.")
        return name

    def _client(self, folder: Path) -> Any:
        pymilvus = _pymilvus()
        uri = self.uri if "://" in self.uri else str(folder / self.uri)
        try:
            return pymilvus.MilvusClient(uri, token=os.environ.get(TOKEN, ""))
        except (pymilvus.MilvusException, OSError, RuntimeError) as error:
            raise DataError(
                f"index.uri={uri}: cannot be opened ({error}). A cluster must run and be reached ({TOKEN} holds its "
                "token); a file is opened by one process at a time."
            ) from error

    def _make_collection(self, client: Any, folder: IndexFolder, name: str) -> None:
        owner = f"mixlingua: {folder.path.absolute()}"
        for other in client.list_collections():
            found = client.describe_collection(other).get("description")
            if found == owner or "://" not in self.uri:  # a file is in the index's own folder
                if other != folder.manifest.engine:  # of an index that was here before, or of a stopped build
                    client.drop_collection(other)
            elif other == name:
                raise ConfigError(
                    f"index.collection={self.collection}: there is a collection '{name}' already, of '{found}'. Choose "
                    "another name, or drop it."
                )
        kinds = _pymilvus().DataType
        schema = client.create_schema(auto_id=False, enable_dynamic_field=False, description=owner)
        schema.add_field("row", kinds.INT64, is_primary=True)
        schema.add_field("language", kinds.VARCHAR, max_length=64)
        schema.add_field("vector", kinds.FLOAT_VECTOR, dim=folder.manifest.dim)
        index = client.prepare_index_params()
        index.add_index("vector", index_type=self.index_type, metric_type="IP", params=self.index_params)
        client.create_collection(name, schema=schema, index_params=index)

    def _send(self, client: Any, name: str, folder: IndexFolder, shard: int, start: int) -> None:
        """Send the rows of a shard; those that an earlier attempt has sent are replaced."""
        vectors = folder.searched(shard)
        languages = folder.table(shard).column("language").to_pylist()
        for begin in range(0, len(vectors), _AT_ONCE):
            rows = range(begin, min(begin + _AT_ONCE, len(vectors)))
            sent = [{"row": start + row, "language": languages[row], "vector": vectors[row].tolist()} for row in rows
                    if not folder.deleted[start + row]]  # fmt: skip
            if sent:
                client.upsert(name, sent)


class Milvus:
    """A collection of Milvus that holds the rows of an index."""

    def __init__(self, folder: IndexFolder, settings: MilvusSettings, client: Any, collection: str) -> None:
        self.folder, self.settings, self.client, self.collection = folder, settings, client, collection

    def search(self, queries: Vectors, count: int, language: str | None) -> Found:
        """As `Engine` says. What Milvus does not find, or cannot return at once, is searched exactly in the folder."""
        allowed = self.folder.of_language(language)
        count = min(count, int(allowed.sum()))
        if count > _MOST:
            return exact(queries, self.folder, count, allowed)
        conditions = [f"row < {self.folder.num_rows}", *([f'language == "{language}"'] if language is not None else [])]
        try:
            hits = self.client.search(
                self.collection, data=queries.tolist(), limit=count, filter=" and ".join(conditions),
                output_fields=["row"], search_params={"metric_type": "IP", "params": self.settings.search_params},
            )  # fmt: skip
        except _pymilvus().MilvusException as error:
            raise DataError(f"index.uri={self.settings.uri}: Milvus cannot search ({error.message}).") from error
        scores = np.full((len(queries), count), -np.inf, np.float32)
        rows = np.full((len(queries), count), -1, np.int64)
        for number, of_query in enumerate(hits):
            for place, hit in enumerate(of_query):
                if allowed[hit["row"]]:  # a row may be deleted in the index, and still be in Milvus
                    scores[number, place], rows[number, place] = hit["distance"], hit["row"]
        short = (rows < 0).any(axis=1)
        if short.any():
            scores[short], rows[short] = exact(queries[short], self.folder, count, allowed)
        return Found(scores, rows)


def _pymilvus() -> Any:
    try:
        import pymilvus
    except ImportError as error:
        raise ConfigError(
            'index=milvus: pymilvus is missing. Run: pip install "pymilvus[milvus_lite]>=3.0,<4" milvus-lite'
        ) from error
    return pymilvus
