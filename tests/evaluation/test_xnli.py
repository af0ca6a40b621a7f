"""XNLI on files with the published columns: what is read, what the probe scores, and where files come from."""

import logging
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

from mixlingua.comparison.runs import read_run
from mixlingua.errors import ConfigError, DataError, ModelError
from mixlingua.evaluation.benchmarks import xnli as module
from mixlingua.evaluation.benchmarks.xnli import LABELS, xnli, xnli_retrieval
from mixlingua.evaluation.engines import probe
from mixlingua.evaluation.run_folder import read_results, write_results
from mixlingua.evaluation.suite import evaluate_task
from mixlingua.evaluation.tasks import ProbeTask, SentencePair

COLUMNS = (
    "language", "gold_label", "sentence1_binary_parse", "sentence2_binary_parse", "sentence1_parse", "sentence2_parse",
    "sentence1", "sentence2", "promptID", "pairID", "genre", "label1", "label2", "label3", "label4", "label5",
    "sentence1_tokenized", "sentence2_tokenized", "match",
)  # fmt: skip
Row = tuple[str, str, str, str, str]  # language, label, premise, hypothesis, pair id


def tsv(rows: Sequence[Row]) -> str:
    """The layout of XNLI-1.0: nineteen columns, the parses empty, quotes as they come."""
    lines = ["\t".join(COLUMNS)]
    for language, label, premise, hypothesis, pair in rows:
        given = {"language": language, "gold_label": label, "sentence1": premise, "sentence2": hypothesis,
                 "promptID": pair, "pairID": pair, "genre": "fiction", "label1": label, "match": "True"}  # fmt: skip
        lines.append("\t".join(given.get(name, "") for name in COLUMNS))
    return "\n".join(lines) + "\n"


def row(language: str, number: int) -> Row:
    """Three pairs share a premise, as in the real files."""
    label = LABELS[number % 3]
    return language, label, f"{language} premise {number // 3}", f"{language} {label} {number // 3}", str(number)


@pytest.fixture
def folder(tmp_path: Path, network: dict[str, bytes]) -> Path:
    """300 English training pairs, and 60 test pairs in en, de and sw; no network."""
    folder = tmp_path / "xnli"
    folder.mkdir()
    (folder / "xnli.dev.tsv").write_text(tsv([row(lang, n) for n in range(300) for lang in ("de", "en")]), "utf-8")
    tested = [row(lang, n + 300) for lang in ("sw", "en", "de") for n in range(60)]
    (folder / "xnli.test.tsv").write_text(tsv(tested), "utf-8")
    return folder


def encode(texts: Sequence[str], side: str) -> torch.Tensor:
    """A premise is a random vector of its number; it entails itself, its opposite contradicts it. Swahili is noise."""
    assert side == "query"
    vectors = torch.zeros(len(texts), 8)
    for place, text in enumerate(texts):
        language, kind, number = text.split()
        of_premise = np.random.default_rng(int(number)).normal(size=8)
        free = np.random.default_rng([len(text), int(number), 7]).normal(size=8)
        vector = {"contradiction": -of_premise, "neutral": free}.get(kind, of_premise)
        vectors[place] = torch.from_numpy(free[::-1].copy() if language == "sw" else vector)
    return torch.nn.functional.normalize(vectors)


def test_pairs_are_read_as_published(folder: Path) -> None:
    with (folder / "xnli.test.tsv").open("a", encoding="utf-8") as file:
        file.write(tsv([("zh", "neutral", 'Er sagte: "Ja', "“是的”，他说。", "77")]).split("\n", 1)[1])
    task = xnli(folder, ["zh", "en"])
    assert list(task.test) == ["en", "zh"]
    assert task.test["zh"] == {"77": SentencePair('Er sagte: "Ja', "“是的”，他说。", "neutral")}
    assert len(task.train) == 300
    assert all(pair.premise.startswith("en") for pair in task.train)
    assert task.size == "61 sentence pairs in 2 languages, 300 in English to fit a probe"


def test_a_probe_fitted_in_english_transfers_where_the_vectors_do(folder: Path, tmp_path: Path) -> None:
    result = evaluate_task(xnli(folder, ["de", "en", "sw"]), encode)
    value = {(row.metric, row.query_language): row.value for row in result.rows}
    assert value["accuracy", "en"] == value["accuracy", "de"] > 0.85
    assert value["accuracy", "sw"] < 0.6
    assert value["accuracy_low_resource", "sw"] == value["accuracy", "sw"]
    assert value["macro_f1_low_resource", "sw"] == value["macro_f1", "sw"]
    assert [key for key in value if key[0].endswith("low_resource")] == [
        ("accuracy_low_resource", "sw"), ("macro_f1_low_resource", "sw")
    ]  # fmt: skip
    averages = result.aggregate()
    assert averages["xnli/monolingual/accuracy"] == pytest.approx(
        np.mean([value["accuracy", code] for code in ("de", "en", "sw")])
    )
    assert averages["xnli/monolingual/accuracy_low_resource"] == value["accuracy", "sw"]
    assert result.provenance["probe"]["held_out_accuracy"] > 0.85

    # The result is one that a run folder holds and action=compare reads.
    write_results(tmp_path / "run", [result], {})
    assert {row.key: row.value for row in read_results(tmp_path / "run").rows} == {
        row.key: row.value for row in result.rows
    }
    compared = read_run(tmp_path / "run").tasks["xnli"]
    assert {cell.metric for cell in compared.cells} == {"accuracy"}
    assert compared.values.shape == (60, 3)


def test_macro_f1_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    """Truth e e n c, answers e n n e. e: P 1/2, R 1/2, F1 1/2. n: P 1/2, R 1, F1 2/3. c: never answered, 0."""
    answers = ["entailment", "neutral", "neutral", "entailment"]

    class Answers:
        inverse_strength, held_out_accuracy = 1.0, 1.0

        def __call__(self, features: np.ndarray) -> list[str]:
            return answers

    monkeypatch.setattr(probe, "fit_probe", lambda features, labels, groups: Answers())
    truth = ["entailment", "entailment", "neutral", "contradiction"]
    pairs = {str(n): SentencePair(f"en p {n}", f"en {label} {n}", label) for n, label in enumerate(truth)}
    task = ProbeTask("xnli", "1", "CC0", "by hand", LABELS, list(pairs.values()), {"en": pairs})
    value = {row.metric: row.value for row in evaluate_task(task, encode).rows}
    assert value == {"accuracy": 0.5, "macro_f1": pytest.approx((1 / 2 + 2 / 3 + 0) / 3)}


def test_all_ranks_get_one_result(folder: Path, on_ranks: Callable[..., list]) -> None:
    task = xnli(folder, ["en", "sw"])
    alone = evaluate_task(task, encode)
    assert all(result.rows == alone.rows for result in on_ranks(2, lambda: evaluate_task(task, encode)))


def test_vectors_that_are_not_finite_are_refused(folder: Path) -> None:
    task = xnli(folder, ["en"])
    with pytest.raises(ModelError, match="480 of 480 query vectors hold NaN"):
        evaluate_task(task, lambda texts, side: encode(texts, side) * torch.nan)


def test_multinli_and_a_limit_are_part_of_the_revision(folder: Path) -> None:
    lines = ["premise\thypo\tlabel"]
    lines += [f"en premise {n}\ten {label} {n}\t{label.replace('ion', 'ory')}" for n in range(50) for label in LABELS]
    (folder / "multinli.train.en.tsv").write_text("\n".join(lines) + "\n", "utf-8")
    task = xnli(folder, ["en"], "multinli", 90)
    assert task.revision.endswith(", probe 1 on 90 pairs of multinli.train.en.tsv")
    assert {pair.label for pair in task.train} == set(LABELS)
    assert set(xnli(folder, ["en"], "multinli", 40).train) < set(task.train)
    revisions = {xnli(folder, ["en"], "dev", limit).revision for limit in (90, 119)} | {task.revision}
    assert len(revisions) == 3


def test_only_files_of_the_published_size_carry_its_name(
    folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    assert xnli(folder, ["en"]).revision.startswith("local-")
    assert "xnli.test.tsv" in caplog.text and "compare with no published figure" in caplog.text
    monkeypatch.setattr(module, "DEV", module.PublicFile("a.zip", "xnli.dev.tsv", 300))
    monkeypatch.setattr(module, "TEST", module.PublicFile("a.zip", "xnli.test.tsv", 60))
    caplog.clear()
    assert xnli(folder, ["en"]).revision == "XNLI-1.0, probe 1 on 300 pairs of xnli.dev.tsv"
    assert not caplog.text


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("sentence2\tpromptID", "text2\tpromptID", r"test\.tsv:1: no column sentence2; it has language"),
        ("de premise 100\t", "de premise 100\tmore\t", r"test\.tsv:122: 20 fields under 19 columns"),
        ("de\tentailment", "de\t-", r"test\.tsv:123: label '-' is none of contradiction, entailment, neutral"),
        ("de entailment 100", " ", r"test\.tsv:123: a blank sentence"),
        ("\t301\t301\t", "\t300\t300\t", r"test\.tsv:3: pair 300 comes twice in sw"),
    ],
)
def test_malformed_files_are_named_with_line(folder: Path, old: str, new: str, message: str) -> None:
    text = (folder / "xnli.test.tsv").read_text("utf-8")
    assert old in text
    (folder / "xnli.test.tsv").write_text(text.replace(old, new), "utf-8")
    with pytest.raises(DataError, match=message):
        xnli(folder, ["sw", "en", "de"])


def test_values_that_cannot_be_are_refused(folder: Path) -> None:
    with pytest.raises(ConfigError, match=r"xnli\.train=mnli: it is one of dev, multinli\. Did you mean 'multinli'"):
        xnli(folder, ["en"], "mnli", 1000)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=r"xnli\.max_train=0"):
        xnli(folder, ["en"], "dev", 0)
    with pytest.raises(DataError, match=r"xnli\.test\.tsv: no pairs in ur"):
        xnli(folder, ["ur"])
    with pytest.raises(DataError, match=r"XNLI-MT-1\.0\.zip.*multinli\.train\.en\.tsv alone, from that archive"):
        xnli(folder, ["en"], "multinli", 1000)


def test_hypotheses_find_their_translations(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Pairs 1 and 2 have one hypothesis in English and two in German; a German query has the one English answer."""
    caplog.set_level(logging.ERROR)
    hypotheses = {"en": ("I do.", "I do not know.", "I do not know."), "de": ("Ja.", "Keine Ahnung.", "Weiß nicht.")}
    rows = [(code, "neutral", "p", text, str(n)) for code, texts in hypotheses.items() for n, text in enumerate(texts)]
    (folder / "xnli.test.tsv").write_text(tsv(rows), "utf-8")
    task = xnli_retrieval(folder, ["en", "de"])
    assert task.queries == {
        "de": {"0": "Ja.", "1": "Keine Ahnung.", "2": "Weiß nicht."},
        "en": {"0": "I do.", "1": "I do not know."},
    }
    assert task.passages["en"] == {"en:0": "I do.", "en:1": "I do not know."}
    assert task.qrels == {
        "de": {"0": {"en:0": 1}, "1": {"en:1": 1}, "2": {"en:1": 1}},
        "en": {"0": {"de:0": 1}, "1": {"de:1": 1, "de:2": 1}},
    }
    assert task.settings == ("crosslingual",)
