"""What the server answers, and what it refuses with which words."""

import base64
import shutil
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from mixlingua.errors import ConfigError
from mixlingua.search.folder import IndexFolder
from mixlingua.search.retriever import Retriever
from mixlingua.serving.app import create_app
from mixlingua.serving.limits import Rates
from mixlingua.serving.settings import ServerSettings


def test_a_search_gives_what_the_retriever_gives(client, retriever):
    answer = client().post("/search", json={"query": "Wo liegt Kairo?", "k": 3})
    expected = [each.as_dict() for each in retriever.search("Wo liegt Kairo?", k=3)]
    assert answer.json() == {"query": "Wo liegt Kairo?", "index": "rivers", "results": expected}
    assert client().get("/search", params={"query": "Wo liegt Kairo?", "k": 3}).json() == answer.json()


def test_a_query_that_is_cut_is_told(client, retriever):
    answer = client().post("/search", json={"query": "Nil " * 1000}).json()
    assert answer["note"] == retriever.cut_note("Nil " * 1000) and "are read" in answer["note"]


def test_options_of_a_search_are_honoured(client, retriever):
    german = client().post("/search", json={"query": "Nil", "language": "de"}).json()["results"]
    assert {each["language"] for each in german} == {"de"}
    fair = client().post("/search", json={"query": "Nil", "fair": True}).json()["results"]
    assert fair == [each.as_dict() for each in retriever.search("Nil", fair=True)]


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        ({}, 422, "query: Field required"),
        ({"query": "a", "kk": 3}, 422, "kk: Extra inputs"),
        ({"query": "a", "k": 0}, 422, "k: "),
        ({"query": "a", "k": 101}, 422, "100 are given at most"),
        ({"query": " "}, 400, "it is empty"),
        ({"query": "a" * 5000}, 422, "4096"),
        ({"query": "a", "language": "fr"}, 400, "language=fr"),
        ({"query": "a", "language": "de", "fair": True}, 400, "cannot be fair"),
        ({"query": "a", "index": "lakes"}, 404, "no index 'lakes'; there are rivers"),
    ],
)
def test_a_wrong_search_is_refused_by_name(client, body, status, said):
    answer = client().post("/search", json=body)
    assert (answer.status_code, said in answer.json()["error"]["message"]) == (status, True), answer.text


def test_half_of_a_surrogate_pair_is_refused(client):
    answer = client().post("/search", content=b'{"query": "\\ud83d"}', headers={"content-type": "application/json"})
    assert answer.status_code == 422 and "unicode" in answer.json()["error"]["message"]


@pytest.mark.parametrize(
    ("body", "kind", "status", "said"),
    [
        ('{"query": "Kairo"}', "application/x-www-form-urlencoded", 422, "send it with the header content-type: appli"),
        ('{"query": "Kairo"}', None, 422, "body: send it with the header content-type: application/json"),
        ("[1]", "application/json", 422, "body: it must be a JSON object"),
        ("{", "application/json", 422, "body: malformed JSON at character 1 (Expecting property name"),
        ('{"query": "a", "k" 3}', "application/json", 422, "body: malformed JSON at character 19 (Expecting ':' delim"),
        (b'{"query": "\xff"}', "application/json", 400, "body: not valid UTF-8 at byte 11"),
    ],
)
def test_a_body_that_is_no_json_object_is_told_what_to_do(client, body, kind, status, said):
    answer = client().post("/search", content=body, headers={"content-type": kind} if kind else {})
    assert (answer.status_code, said in answer.json()["error"]["message"]) == (status, True), answer.text


@pytest.mark.parametrize(
    ("path", "body", "status", "said"),
    [
        ("/search", r'{"query": "a", "index": "\ud83d"}', 404, r"no index '\ud83d'; there are rivers"),
        ("/search", r'{"query": "a", "language": "\ud83d"}', 400, r"language=\ud83d: the index has"),
        ("/v1/embeddings", r'{"input": "a", "model": "\ud83d"}', 404, r"no model '\ud83d'; there are tiny"),
        ("/v1/embeddings", r'{"input": "cut\ud83d", "model": "tiny"}', 400, "half of a surrogate pair at character 3"),
    ],
)
def test_half_of_a_surrogate_pair_can_be_told(client, path, body, status, said):
    answer = client().post(path, content=body, headers={"content-type": "application/json"})
    assert (answer.status_code, said in answer.json()["error"]["message"]) == (status, True), answer.text


@pytest.mark.parametrize(("model", "more", "side"), [
    ("tiny", {}, "passage"), ("tiny-query", {}, "query"), ("tiny", {"input_type": "query"}, "query"),
    ("tiny-passage", {}, "passage"),
])  # fmt: skip
def test_embeddings_are_the_encoders_in_both_formats(client, retriever, model, more, side):
    texts = ["Cairo lies on the Nile.", "a"]
    expected = (retriever.encode_queries if side == "query" else retriever.encode_passages)(texts).numpy()
    for path in ("/embed", "/v1/embeddings"):
        plain = client().post(path, json={"input": texts, "model": model, **more}).json()
        packed = client().post(path, json={"input": texts, "model": model, "encoding_format": "base64", **more}).json()
        for vector, one, other in zip(expected, plain["data"], packed["data"], strict=True):
            np.testing.assert_allclose(one["embedding"], vector, atol=1e-6)
            np.testing.assert_array_equal(np.frombuffer(base64.b64decode(other["embedding"]), "<f4"), vector)
        tokens = sum(map(len, retriever.encoding.encoder.tokenizer.encode(texts, side)))
        assert plain["usage"] == {"prompt_tokens": tokens, "total_tokens": tokens}


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        ({"input": "a", "model": "text-embedding-3-small"}, 404, "there are tiny"),
        ({"input": [1, 2], "model": "tiny"}, 400, "check_embedding_ctx_length=False"),
        ({"input": [], "model": "tiny"}, 400, "texts are needed"),
        ({"input": ["a", ""], "model": "tiny"}, 400, "none of them empty"),
        ({"input": "a", "model": "tiny", "dimensions": 16}, 400, "gives 32"),
        ({"input": ["a"] * 9, "model": "tiny"}, 413, "8 are taken at once"),
        ({"input": "a", "model": "tiny", "input_type": "title"}, 422, "input_type"),
    ],
)
def test_a_wrong_embedding_request_is_refused_by_name(client, body, status, said):
    answer = client(max_texts=8).post("/v1/embeddings", json=body)
    assert (answer.status_code, said in answer.json()["error"]["message"]) == (status, True), answer.text


def test_openais_client_works(client):
    openai = pytest.importorskip("openai")
    remote = openai.OpenAI(base_url="http://localhost/v1", api_key="secret", http_client=client(token="secret"))
    assert [model.id for model in remote.models.list()] == ["tiny", "tiny-query", "tiny-passage"]
    answer = remote.embeddings.create(input=["Wo liegt Kairo?", "b"], model="tiny-query")
    vectors = np.array([each.embedding for each in answer.data])
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    assert answer.usage.total_tokens > 2
    with pytest.raises(openai.NotFoundError, match="no model 'gpt'"):
        remote.embeddings.create(input="a", model="gpt")
    stranger = openai.OpenAI(base_url="http://localhost/v1", api_key="wrong", http_client=client(token="secret"))
    with pytest.raises(openai.AuthenticationError, match="a token is needed"):
        stranger.embeddings.create(input="a", model="tiny")


def test_a_token_guards_all_but_the_page_and_health(client):
    guarded = client(token="secret")
    assert guarded.get("/").status_code == guarded.get("/health").status_code == 200
    for path in ("/search?query=a", "/metrics", "/v1/models", "/openapi.json"):
        answer = guarded.get(path)
        assert answer.status_code == 401 and answer.headers["www-authenticate"] == "Bearer"
        assert guarded.get(path, headers={"authorization": "Bearer secre"}).status_code == 401
        assert guarded.get(path, headers={"authorization": "Bearer secret"}).status_code == 200


def test_a_large_body_is_refused_whether_or_not_its_length_is_said(client):
    small = client(max_bytes=1000)
    body = b'{"query": "' + b"a" * 2000 + b'"}'
    for content in (body, iter([body[:500], body[500:]])):
        answer = small.post("/search", content=content, headers={"content-type": "application/json"})
        assert answer.status_code == 413, answer.text
        assert "1,000 bytes" in answer.json()["error"]["message"] or "1,000 are taken" in answer.text


def test_too_many_requests_of_a_client_are_refused_with_a_time(client):
    limited = client(rate=2)
    statuses = [limited.get("/search", params={"query": "a"}).status_code for _ in range(10)]
    assert statuses[:4] == [200] * 4 and 429 in statuses
    refused = limited.get("/search", params={"query": "a"})
    assert refused.status_code == 429 and int(refused.headers["retry-after"]) >= 1
    assert limited.get("/health").status_code == 200


def test_rates_are_counted_by_client_and_time():
    now = 0.0
    rates = Rates(2, 4, clock=lambda: now)
    assert [rates.wait("a") == 0 for _ in range(5)] == [True] * 4 + [False]
    assert rates.wait("a") == pytest.approx(0.5) and rates.wait("b") == 0
    now = 0.5
    assert rates.wait("a") == 0 and rates.wait("a") > 0


class Slow:
    """A retriever that answers once it may."""

    def __init__(self, retriever) -> None:
        self.retriever, self.may = retriever, threading.Event()

    def __getattr__(self, name):
        return getattr(self.retriever, name)

    def search(self, *arguments, **options):
        assert self.may.wait(20)
        return self.retriever.search(*arguments, **options)


def test_overload_is_refused_and_the_server_recovers(retriever):
    from fastapi.testclient import TestClient

    slow = Slow(retriever)
    app = create_app({"rivers": slow}, ServerSettings(max_waiting=2, max_texts=2, rate=None, timeout=30))
    with TestClient(app, base_url="http://localhost") as client, ThreadPoolExecutor(8) as threads:
        asked = [threads.submit(client.get, "/search", params={"query": f"q{number}"}) for number in range(8)]
        refused = [each.result() for each in asked if _done_soon(each)]
        assert len(refused) in (4, 5) and {each.status_code for each in refused} == {503}
        assert all(int(each.headers["retry-after"]) >= 1 for each in refused)
        slow.may.set()
        assert [each.result().status_code for each in asked].count(200) == 8 - len(refused)
        assert client.get("/search", params={"query": "a"}).status_code == 200
        assert f'mixlingua_refused_total{{reason="queue"}} {len(refused)}.0' in client.get("/metrics").text


def _done_soon(future) -> bool:
    try:
        future.result(timeout=3)
    except TimeoutError:
        return False
    return True


def test_a_request_that_takes_too_long_is_answered_in_time(retriever):
    from fastapi.testclient import TestClient

    slow = Slow(retriever)
    with TestClient(create_app({"rivers": slow}, ServerSettings(timeout=0.2)), base_url="http://localhost") as client:
        answer = client.get("/search", params={"query": "a"})
        slow.may.set()
        assert answer.status_code == 503 and "0.2 s" in answer.json()["error"]["message"]
        assert answer.headers["retry-after"]


def test_a_page_with_a_name_of_its_own_does_not_reach_a_local_server(client):
    answer = client().get("/search", params={"query": "a"}, headers={"host": "evil.example"})
    assert answer.status_code == 421 and "evil.example" in answer.json()["error"]["message"]
    assert client(host="0.0.0.0").get("/health", headers={"host": "evil.example"}).status_code == 200
    assert client().get("/health", headers={"host": "["}).status_code == 421
    other = client(host="127.0.0.2")
    assert other.get("/health", headers={"host": "127.0.0.2:8000"}).status_code == 200
    assert other.get("/health", headers={"host": "evil.example"}).status_code == 421


@pytest.mark.parametrize(
    ("host", "local"),
    [("127.0.0.2", True), ("::1", True), ("localhost", True), ("0.0.0.0", False), ("3com.example", False)],
)
def test_a_server_is_local_where_only_this_machine_reaches_it(host, local):
    assert ServerSettings(host=host).is_local == local


def test_models_of_other_weights_have_other_names(retriever, index, tmp_path):
    """A layer that was fitted for an index makes a model of its own; a name may stand for other weights too."""
    from fastapi.testclient import TestClient

    def served(name, arguments, weights):
        folder = shutil.copytree(index, tmp_path / name)
        model = {**retriever.folder.manifest.model, "fingerprint": weights}
        model["arguments"] = {**model["arguments"], "name_or_path": arguments}
        return Retriever(IndexFolder.open(folder).changed(model=model), retriever.encoding)

    own = {name: served(name, "model", name) for name in ("a", "b")}
    others = {"c": served("c", "tiny", "c"), "d": served("d", "tiny", retriever.folder.manifest.model["fingerprint"])}
    app = create_app({"rivers": retriever, **own, **others}, ServerSettings())
    with TestClient(app, base_url="http://localhost") as shared:
        health = shared.get("/health").json()
        assert [each["model"] for each in health["indexes"]] == ["tiny", "a", "b", "c/tiny", "tiny"]
        assert health["models"] == ["tiny", "a", "b", "c/tiny"]
        assert shared.post("/embed", json={"input": "x", "model": "c/tiny-query"}).status_code == 200


def test_health_and_metrics(client):
    shared = client()
    shared.get("/search", params={"query": "a"})
    shared.get("/nowhere")
    assert shared.get("/health").json()["indexes"] == [
        {"name": "rivers", "model": "tiny", "languages": ["ar", "de", "en"], "documents": 5}
    ]
    metrics = shared.get("/metrics").text
    assert 'mixlingua_requests_total{route="/search",status="200"} 1.0' in metrics
    assert 'mixlingua_requests_total{route="other",status="404"} 1.0' in metrics
    assert 'mixlingua_batch_size_count{kind="search"} 1.0' in metrics


@pytest.mark.parametrize(
    ("settings", "key"),
    [({"port": 70000}, "server.port"), ({"rate": 0}, "server.rate"), ({"max_batch": 0}, "server.max_batch"),
     ({"token": "ü"}, "server.token"), ({"max_texts": 900}, "server.max_texts"), ({"timeout": -1}, "server.timeout")],
)  # fmt: skip
def test_settings_that_cannot_work_are_refused_by_key(settings, key):
    with pytest.raises(ConfigError, match=key):
        ServerSettings(**settings)
