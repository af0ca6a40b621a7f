"""The web application: search, embeddings as OpenAI's API has them, a page for people, and what a supervisor asks."""

import base64
import hashlib
import logging
import re
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from fastapi import FastAPI, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse, Response
from numpy.typing import NDArray
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException

import mixlingua
from mixlingua.data.rows import Side
from mixlingua.errors import MixlinguaError
from mixlingua.languages import language_name
from mixlingua.report.page import rendered
from mixlingua.retrieval.encode import refuse_half_pairs
from mixlingua.search.encoding import OWN_MODEL
from mixlingua.search.retriever import Result, Retriever
from mixlingua.serving.batching import MicroBatcher, OverloadError
from mixlingua.serving.limits import Limits, Metrics, Rates, error_body
from mixlingua.serving.settings import LOOPBACK, ServerSettings

logger = logging.getLogger(__name__)
MAX_QUERY = 4096  # characters
_SIDES: dict[str, Side] = {"query": "query", "passage": "passage", "document": "passage"}


@dataclass(frozen=True)
class SearchItem:
    """A query with its options; those with the same options are searched together."""

    query: str
    k: int
    language: str | None
    fair: bool


class SearchRequest(BaseModel):
    """What /search takes. index: its name; null: the first one."""

    model_config = ConfigDict(extra="forbid")
    query: Annotated[str, Field(min_length=1, max_length=MAX_QUERY)]
    k: Annotated[int, Field(ge=1)] = 10
    language: str | None = None
    fair: bool = False
    index: str | None = None


class EmbeddingRequest(BaseModel):
    """What OpenAI's /v1/embeddings takes, and input_type, which says what the texts are."""

    model_config = ConfigDict(extra="forbid")
    input: str | list[str] | list[int] | list[list[int]]
    model: str
    encoding_format: Literal["float", "base64"] = "float"
    dimensions: int | None = None
    user: str | None = None
    input_type: Literal["query", "passage", "document"] | None = None


def create_app(
    retrievers: Mapping[str, Retriever],
    settings: ServerSettings,
    *,
    started: Callable[[], None] = lambda: None,
    examples: Sequence[tuple[str, str]] = (),
) -> FastAPI:
    """The application. retrievers: index by its name; the first one is the default.

    started: called once requests are taken. examples: queries that the page offers, each with its language.
    """
    service = _Service(retrievers, settings)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        started()
        yield
        service.executor.shutdown(wait=True)

    # Its own pages of documentation load scripts from elsewhere; /openapi.json says the same.
    app = FastAPI(title="mixlingua", version=mixlingua.__version__, docs_url=None, redoc_url=None, lifespan=lifespan)
    page = _search_page(service.describe(), examples, settings)
    policy = _content_policy(page)

    @app.get("/", response_class=HTMLResponse, include_in_schema=False)
    async def show_page() -> HTMLResponse:
        return HTMLResponse(page, headers={"content-security-policy": policy, "x-content-type-options": "nosniff"})

    @app.get("/search")
    async def search_by_url(request: Annotated[SearchRequest, Query()]) -> dict[str, Any]:
        """The documents that score highest for a query."""
        return await service.search(request)

    @app.post("/search")
    async def search(request: SearchRequest) -> dict[str, Any]:
        """The same, with the query in the body."""
        return await service.search(request)

    @app.post("/v1/embeddings")
    @app.post("/embed")
    async def embeddings(request: EmbeddingRequest) -> dict[str, Any]:
        """Vectors of texts, as OpenAI's clients ask for them."""
        return await service.embed(request)

    @app.get("/v1/models")
    async def models() -> dict[str, Any]:
        """The names that /v1/embeddings takes."""
        names = [f"{name}{ending}" for name in service.models for ending in ("", "-query", "-passage")]
        listed = [{"id": name, "object": "model", "created": 0, "owned_by": "mixlingua"} for name in names]
        return {"object": "list", "data": listed}

    @app.get("/health")
    async def health() -> dict[str, Any]:
        """What is served."""
        return {"status": "ok", "version": mixlingua.__version__, "indexes": service.describe(),
                "models": list(service.models)}  # fmt: skip

    @app.get("/metrics", include_in_schema=False)
    async def metrics() -> Response:
        return Response(generate_latest(service.metrics.registry), media_type=CONTENT_TYPE_LATEST)

    @app.exception_handler(OverloadError)
    async def overload(request: Request, error: OverloadError) -> JSONResponse:
        service.metrics.refused.labels("queue").inc()
        seconds = str(max(1, round(error.seconds)))
        return JSONResponse(error_body(503, str(error), "queue"), 503, {"retry-after": seconds})

    @app.exception_handler(MixlinguaError)
    async def refused(request: Request, error: MixlinguaError) -> JSONResponse:
        return JSONResponse(error_body(400, str(error)), 400)

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> JSONResponse:
        is_json = "json" in request.headers.get("content-type", "").lower()
        said = [_said(each, is_json) for each in error.errors()]
        return JSONResponse(error_body(422, "; ".join(dict.fromkeys(said))), 422)

    @app.exception_handler(HTTPException)
    async def http_error(request: Request, error: HTTPException) -> JSONResponse:
        cause, message = error.__cause__, str(error.detail)
        if isinstance(cause, UnicodeDecodeError):
            message = f"body: not valid UTF-8 at byte {cause.start}"
        return JSONResponse(error_body(error.status_code, message), error.status_code, error.headers)

    @app.exception_handler(Exception)
    async def failed(request: Request, error: Exception) -> JSONResponse:
        logger.error("%s %s failed", request.method, request.url.path, exc_info=error)
        return JSONResponse(error_body(500, "the server failed; its log says why"), 500)

    app.add_middleware(
        Limits,
        metrics=service.metrics,
        hosts=tuple(dict.fromkeys((*LOOPBACK, settings.host.lower()))) if settings.is_local else None,
        max_bytes=settings.max_bytes,
        rates=Rates(settings.rate, 2 * settings.rate) if settings.rate else None,
        timeout=settings.timeout,
        token=settings.token,
    )
    return app


def _said(problem: Mapping[str, Any], is_json: bool) -> str:
    """What is wrong with a request, where, and what to do. problem: as pydantic has it. is_json: is said to be JSON."""
    place = ".".join(map(str, problem["loc"][1:]))
    if problem["type"] == "json_invalid":
        return f"body: malformed JSON at character {place} ({problem['ctx']['error']})"
    if not place and problem["type"] == "model_attributes_type":
        todo = "it must be a JSON object" if is_json else "send it with the header content-type: application/json"
        return f"body: {todo}"
    return f"{place or 'body'}: {problem['msg']}"


class _Service:
    """The indexes and their models, with a queue for each."""

    def __init__(self, retrievers: Mapping[str, Retriever], settings: ServerSettings) -> None:
        self.retrievers, self.settings = dict(retrievers), settings
        self.metrics = Metrics(["/", "/search", "/v1/embeddings", "/embed", "/v1/models", "/health", "/metrics"])
        # One thread: torch has threads of its own, and a tokenizer serves one at a time.
        self.executor = ThreadPoolExecutor(1, thread_name_prefix="compute")
        self.models_of = _model_ids(self.retrievers)
        self.models: dict[str, Retriever] = {}
        for name, retriever in self.retrievers.items():
            self.models.setdefault(self.models_of[name], retriever)
        self._searches = {
            name: self._batcher(_searching(retriever), "search") for name, retriever in self.retrievers.items()
        }
        self._embeddings = {
            name: self._batcher(_embedding(retriever), "embed") for name, retriever in self.models.items()
        }

    def _batcher(self, compute: Callable[[Sequence[Any]], Sequence[Any]], kind: str) -> MicroBatcher[Any, Any]:
        return MicroBatcher(
            compute,
            self.executor,
            max_batch=self.settings.max_batch,
            max_waiting=self.settings.max_waiting,
            observe=self.metrics.of_batches(kind),
        )

    def describe(self) -> list[dict[str, Any]]:
        """Name, model, languages and number of documents of each index."""
        return [
            {"name": name, "model": self.models_of[name], "languages": list(each.languages), "documents": each.count}
            for name, each in self.retrievers.items()
        ]

    async def search(self, request: SearchRequest) -> dict[str, Any]:
        name = request.index or next(iter(self.retrievers))
        if name not in self.retrievers:
            raise HTTPException(404, f"no index '{name}'; there are {', '.join(self.retrievers)}")
        if request.k > self.settings.max_results:
            raise HTTPException(422, f"k: {request.k} results; {self.settings.max_results} are given at most")
        item = SearchItem(request.query, request.k, request.language or None, request.fair)
        results, note = await self._searches[name](item)
        answer = {"query": request.query, "index": name, "results": [result.as_dict() for result in results]}
        return answer | ({"note": note} if note else {})

    async def embed(self, request: EmbeddingRequest) -> dict[str, Any]:
        name, _, ending = request.model.rpartition("-")
        if request.model in self.models or ending not in _SIDES:
            name, ending = request.model, ""
        if name not in self.models:
            raise HTTPException(404, f"no model '{request.model}'; there are {', '.join(self.models)}, each also with "
                                     "-query or -passage behind it")  # fmt: skip
        given = [request.input] if isinstance(request.input, str) else request.input
        texts = [text for text in given if isinstance(text, str) and text]
        if not texts or len(texts) < len(given):
            raise HTTPException(
                400,
                "input: texts are needed, none of them empty. Tokens of another tokenizer mean nothing here "
                "(LangChain: check_embedding_ctx_length=False)",
            )
        if len(texts) > self.settings.max_texts:
            raise HTTPException(413, f"input: {len(texts)} texts; {self.settings.max_texts} are taken at once")
        dim = self.models[name].encoding.dim
        if request.dimensions not in (None, dim):
            raise HTTPException(400, f"dimensions: this model gives {dim}, and no part of them stands for the whole")
        side = _SIDES[request.input_type or ending or "passage"]
        refuse_half_pairs(texts, side)
        answers = await self._embeddings[name].all([(text, side) for text in texts])
        tokens = sum(count for _, count in answers)
        return {
            "object": "list",
            "model": request.model,
            "data": [
                {"object": "embedding", "index": position, "embedding": _formatted(vector, request.encoding_format)}
                for position, (vector, _) in enumerate(answers)
            ],
            "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
        }


def _model_ids(retrievers: Mapping[str, Retriever]) -> dict[str, str]:
    """What clients call the model of each index.

    An index's own model, to which a layer was fitted, has the name of the index. Other weights under a name that is
    taken have the index's name before it.
    """
    fingerprints: dict[str, str] = {}
    ids = {}
    for index, retriever in retrievers.items():
        name = index if retriever.model_name == OWN_MODEL else _model_id(retriever)
        weights = str(retriever.folder.manifest.model["fingerprint"])
        ids[index] = name if fingerprints.setdefault(name, weights) == weights else f"{index}/{name}"
    return ids


def _model_id(retriever: Retriever) -> str:
    """A hub id or a package's name; of a folder, no more than its last names."""
    path = Path(retriever.model_name)
    if not path.is_dir():
        return retriever.model_name
    return path.absolute().parent.name if path.name == "model" else path.name


def _searching(retriever: Retriever) -> Callable[[Sequence[SearchItem]], list[tuple[list[Result], str | None]]]:
    """Searches a batch, all queries with the same options at once: results, and a note on a query that was cut."""

    def compute(items: Sequence[SearchItem]) -> list[tuple[list[Result], str | None]]:
        found: dict[int, list[Result]] = {}
        for options in dict.fromkeys((item.k, item.language, item.fair) for item in items):
            same = [n for n, item in enumerate(items) if (item.k, item.language, item.fair) == options]
            k, language, fair = options
            lists = retriever.search([items[n].query for n in same], k=k, language=language, fair=fair)
            found.update(zip(same, lists, strict=True))
        return [(found[number], retriever.cut_note(item.query)) for number, item in enumerate(items)]

    return compute


def _embedding(retriever: Retriever) -> Callable[[Sequence[tuple[str, Side]]], list[tuple[NDArray[np.float32], int]]]:
    """Encodes a batch: vectors, and numbers of tokens."""

    def compute(items: Sequence[tuple[str, Side]]) -> list[tuple[NDArray[np.float32], int]]:
        answers: dict[int, tuple[NDArray[np.float32], int]] = {}
        for side, encode in (("query", retriever.encode_queries), ("passage", retriever.encode_passages)):
            same = [number for number, item in enumerate(items) if item[1] == side]
            if same:
                texts = [items[number][0] for number in same]
                tokens = map(len, retriever.encoding.encoder.tokenizer.encode(texts, items[same[0]][1]))
                answers.update(zip(same, zip(encode(texts).numpy(), tokens, strict=True), strict=True))
        return [answers[number] for number in range(len(items))]

    return compute


def _formatted(vector: NDArray[np.float32], encoding_format: str) -> str | list[float]:
    """A vector as numbers, or as base64 of little-endian float32, which OpenAI's client asks for."""
    if encoding_format == "base64":
        return base64.b64encode(vector.astype("<f4").tobytes()).decode("ascii")
    values: list[float] = vector.tolist()
    return values


def _search_page(
    indexes: Sequence[Mapping[str, Any]], examples: Sequence[tuple[str, str]], settings: ServerSettings
) -> str:
    """The page as HTML. indexes: name, model, languages and documents of each. examples: language and query."""
    languages = {code: language_name(code) for index in indexes for code in index["languages"]}
    content = {
        "indexes": indexes,
        "languages": dict(sorted(languages.items(), key=lambda item: item[1])),
        "examples": examples,
        "needs_token": settings.token is not None,
        "max_results": min(20, settings.max_results),
    }
    return rendered("search.html", content, package="mixlingua.serving")


def _content_policy(page: str) -> str:
    """A Content-Security-Policy under which a browser runs this page's script, uses its style, and nothing else."""

    def hashes(tag: str) -> str:
        return " ".join(
            f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
            for text in re.findall(rf"<{tag}>(.*?)</{tag}>", page, re.DOTALL)
        )

    return (
        f"default-src 'none'; script-src {hashes('script')}; style-src {hashes('style')}; img-src data:; "
        "connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    )
