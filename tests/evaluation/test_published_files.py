"""What holds of every public benchmark: files are fetched once and checked, others are said, languages have codes."""

import gzip
import io
import json
import logging
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from mixlingua.data.public_corpora import public_corpus
from mixlingua.errors import ConfigError, DataError
from mixlingua.evaluation.benchmarks import belebele as belebele_module
from mixlingua.evaluation.benchmarks import mkqa as mkqa_module
from mixlingua.evaluation.benchmarks import xm3600 as xm3600_module
from mixlingua.evaluation.benchmarks import xnli as xnli_module
from mixlingua.evaluation.benchmarks.belebele import belebele, dialects_by_language
from mixlingua.evaluation.benchmarks.common import table
from mixlingua.evaluation.benchmarks.lareqa import COMMIT, mlqa_r, xquad_r
from mixlingua.evaluation.benchmarks.miracl import MIRACL, MIRACL_URL, MR_TYDI, miracl, mr_tydi
from mixlingua.evaluation.benchmarks.mkqa import mkqa
from mixlingua.evaluation.benchmarks.translations import XTREME, ntrex, tatoeba
from mixlingua.evaluation.benchmarks.xm3600 import xm3600
from mixlingua.evaluation.benchmarks.xnli import xnli, xnli_retrieval
from mixlingua.languages import check_language, family, resource_class, script

NTREX, TATOEBA = (public_corpus(name).commit for name in ("ntrex", "tatoeba"))


def lines(*entries):
    return "".join(json.dumps(entry, ensure_ascii=False) + "\n" for entry in entries).encode()


def packed(**members):
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name, body in members.items():
            archive.writestr(name.replace("__", "/") + (".jsonl" if name == "captions" else ".tsv"), body)
    return content.getvalue()


def xnli_table(count):
    rows = [f"en\tneutral\tpremise {n}\thypothesis {n}\t{n}" for n in range(count)]
    return "\n".join(["language\tgold_label\tsentence1\tsentence2\tpairID", *rows]) + "\n"


SQUAD = {
    "data": [{"paragraphs": [{
        "context": "Bonn.", "sentences": ["Bonn."], "sentence_breaks": [[0, 5]],
        "qas": [{"id": "a", "question": "a?", "answers": [{"text": "Bonn", "answer_start": 0}]}],
    }]}]
}  # fmt: skip
BELEBELE = {"link": "A", "question_number": 1, "flores_passage": "Texte", "question": "Q ?", "dialect": "fra_Latn"}
MKQA = {"example_id": 1, "queries": {"de": "?"}, "answers": {"en": [{"type": "date", "text": "1969", "aliases": []}]}}
CAPTIONS = packed(captions=lines({"image/key": "0a", "de": {"caption": ["Hund", "Hund im Gras"]}}))
XNLI = packed(**{"XNLI-1.0__xnli.dev": xnli_table(40), "XNLI-1.0__xnli.test": xnli_table(3)})
TREC = {"topics": b"1\tNani?\n", "qrels": b"1\tQ0\t7#0\t1\n"}


@dataclass
class Case:
    """make: the benchmark, from its folder. names: the file that is missing, and the end of the URL it is fetched from.
    fetched: by end of URL, files that are of the right format and not the published ones. publish: changes what counts
    as published, or the files. prepare: puts other files into the folder. languages: that are told to be there."""

    make: Callable
    names: tuple[str, str]
    fetched: dict[str, bytes]
    publish: Callable
    prepare: Callable = lambda folder: None
    here: str = ""
    local: dict[str, bytes] = field(default_factory=dict)


def numbers(name, language, **published):
    return lambda patch, network: patch.setitem(table("published")[name], language, published)


def publish_mkqa(patch, network):
    patch.setattr(mkqa_module, "EXAMPLES", 1)
    patch.setattr(mkqa_module, "QUESTIONS", 1)
    patch.setattr(mkqa_module, "BEIR_NQ", mkqa_module.BEIR_NQ._replace(passages=1))


def publish_xnli(patch, network):
    for name, number in (("DEV", 40), ("TEST", 3)):
        member = f"XNLI-1.0/xnli.{name.lower()}.tsv"
        patch.setattr(xnli_module, name, xnli_module.PublicFile("XNLI-1.0.zip", member, number))


def corpus_of(name):
    def prepare(folder):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(lines({"docid": "7#0", "_id": "7#0", "title": "T", "text": "text of 1969"}))

    return prepare


CASES = {
    "belebele": Case(
        lambda folder: belebele(folder, ["fr"]), ("fra_Latn.jsonl", "data/fra_Latn.jsonl"),
        {"data/fra_Latn.jsonl": lines(BELEBELE)},
        lambda patch, network: patch.setattr(belebele_module, "COUNTS", (1, 1)),
        here="belebele.languages=[de]", local={"deu_Latn.jsonl": lines(BELEBELE | {"dialect": "deu_Latn"})},
    ),
    "mlqa_r": Case(
        lambda folder: mlqa_r(folder, ["de"]), ("de.json", f"lareqa/{COMMIT}/mlqa-r/de.json"),
        {"mlqa-r/de.json": json.dumps(SQUAD).encode()}, numbers("mlqa_r", "de", questions=1, sentences=1),
    ),
    "xquad_r": Case(
        lambda folder: xquad_r(folder, ["de"]), ("de.json", f"lareqa/{COMMIT}/xquad-r/de.json"),
        {"xquad-r/de.json": json.dumps(SQUAD).encode()}, numbers("xquad_r", "de", questions=1, sentences=1),
    ),
    "xm3600": Case(
        lambda folder: xm3600(folder, ["de"]), ("captions.zip", "web-data/captions.zip"),
        {"web-data/captions.zip": CAPTIONS}, lambda patch, network: patch.setattr(xm3600_module, "NUM_IMAGES", 1),
    ),
    "mkqa": Case(
        lambda folder: mkqa(folder, folder / "nq.jsonl", ["de"]), ("mkqa.jsonl.gz", "dataset/mkqa.jsonl.gz"),
        {"dataset/mkqa.jsonl.gz": gzip.compress(lines(MKQA), mtime=0)}, publish_mkqa, corpus_of("nq.jsonl"),
    ),
    "miracl": Case(
        lambda folder: miracl(folder, ["de"]),
        ("topics.miracl-v1.0-de-dev.tsv", f"{MIRACL_URL}/topics.miracl-v1.0-de-dev.tsv"),
        {f"{kind}.miracl-v1.0-de-dev.tsv": body for kind, body in TREC.items()},
        numbers("miracl", "de", queries=1, judgements=1, passages=1),
        corpus_of("miracl-corpus-v1.0-de/docs-0.jsonl"),
    ),
    "xnli": Case(
        lambda folder: xnli(folder, ["en"]), ("XNLI-1.0.zip", "XNLI/XNLI-1.0.zip"),
        {"XNLI-1.0.zip": XNLI}, publish_xnli,
    ),
    "ntrex": Case(  # known by their number of lines
        lambda folder: ntrex(folder, ["cy", "ga"]),
        ("newstest2019-ref.cym.txt", f"NTREX/{NTREX}/NTREX-128/newstest2019-ref.cym.txt"),
        {f"newstest2019-ref.{code}.txt": b"Ie.\n" for code in ("cym", "gle")},
        lambda patch, network: network.update(
            {f"newstest2019-ref.{code}.txt": b"".join(b"%d\n" % n for n in range(1997)) for code in ("cym", "gle")}
        ),
        here="ntrex.languages=[de,en]", local={"de.txt": b"Ja.\n", "newstest2019-src.eng.txt": b"Yes.\n"},
    ),
    "tatoeba": Case(
        lambda folder: tatoeba(folder, ["jv"]),
        ("tatoeba.jav-eng.jav", f"LASER/{TATOEBA}/data/tatoeba/v1/tatoeba.jav-eng.jav"),
        {f"tatoeba.jav-eng.{code}": b"ya\n" for code in ("jav", "eng")},
        lambda patch, network: network.update({f"tatoeba.jav-eng.{code}": b"ya\n" * 205 for code in ("jav", "eng")}),
        here="tatoeba.languages=[de]", local={"tatoeba.deu-eng.deu": b"Ja.\n", "tatoeba.deu-eng.eng": b"Yes.\n"},
    ),
}  # fmt: skip


@pytest.fixture(params=CASES)
def case(request, folder):
    CASES[request.param].prepare(folder)
    return CASES[request.param]


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "data").mkdir()
    return tmp_path / "data"


def test_a_file_that_cannot_be_had_is_named_with_its_place_and_what_is_there(case, folder, network):
    for name, body in case.local.items():
        (folder / name).write_bytes(body)
    with pytest.raises(DataError) as error:
        case.make(folder)
    assert f"needs {case.names[0]}: it is not in {folder}" in str(error.value)
    assert f"{case.names[1]} could not be fetched" in str(error.value)
    assert case.here in str(error.value)


def test_a_file_is_fetched_once_and_kept_where_it_is_the_published_one(case, folder, network, monkeypatch, cache):
    network |= case.fetched
    with pytest.raises(DataError, match="what was fetched is not the published file"):
        case.make(folder)
    assert not [path for path in cache.rglob("*") if path.is_file()], "a wrong file was kept"
    case.publish(monkeypatch, network)
    first = case.make(folder)
    network.clear()
    assert case.make(folder).provenance() == first.provenance(), "the cached copy serves offline"
    assert "local" not in first.revision


@pytest.mark.parametrize("name", ["belebele", "mlqa_r", "xquad_r", "xm3600", "mkqa", "miracl", "xnli"])
def test_other_files_than_the_published_are_used_and_said(folder, network, caplog, name):
    case = CASES[name]
    case.prepare(folder)
    for end, body in case.fetched.items():
        (folder / end.rpartition("/")[2]).write_bytes(body)
    with caplog.at_level(logging.WARNING):
        revision = case.make(folder).revision
    assert revision.startswith(("local-", "sha256-"))
    assert f"task {name}: " in caplog.text and "scores compare with no published figure" in caplog.text


@pytest.mark.parametrize("archive", [b"<html>not found</html>", CAPTIONS[:-40], packed(other="")])
@pytest.mark.parametrize(("make", "name"), [(xm3600, "captions.zip"), (xnli, "XNLI-1.0.zip")])
def test_a_damaged_archive_is_refused(folder, network, make, name, archive):
    (folder / name).write_bytes(archive)
    with pytest.raises(DataError, match=rf"{name}: no whole archive with .* in it"):
        make(folder, ["en"])


@pytest.mark.parametrize(
    ("make", "languages", "message"),
    [
        (tatoeba, ["deu"], r"task tatoeba: no language 'deu'; it has af, am, .* Use the code 'de'\."),
        (tatoeba, ["de", "de"], "language 'de' is given more than once"),
        (tatoeba, [], "choose one or more"),
        (tatoeba, ["en"], "no language 'en'"),
        (ntrex, ["zho", "en"], "task ntrex: no language 'zho'"),
        (ntrex, ["de"], "two languages or more"),
        (xnli_retrieval, ["en"], "a translation needs two languages"),
        (xnli, ["it"], "task xnli: no language 'it'; it has ar, bg"),
        (xnli, ["zh-CN"], r"task xnli: no language 'zh-CN'; .* Its code here is 'zh'\."),
        (belebele, ["eng_Latn"], r"task belebele: no language 'eng_Latn'; .* Use the code 'en'"),
        (xm3600, ["fil"], "task xm3600: no language 'fil'; .* Use the code 'tl'"),
        (mlqa_r, ["fr"], "task mlqa_r: no language 'fr'; it has ar, de"),
        (miracl, ["it"], "task miracl: no language 'it'; it has ar, bn"),
        (mr_tydi, ["de"], "task mr_tydi: no language 'de'"),
        (lambda folder, languages: mkqa(folder, folder, languages), ["zh_hk"], "mkqa: .* Use the code 'zh-Hant-HK'"),
    ],
)
def test_languages_that_a_benchmark_lacks_are_named(folder, make, languages, message):
    with pytest.raises(ConfigError, match=message):
        make(folder, languages)


def test_all_languages_have_codes_of_which_everything_is_known():
    dialects, sentences = dialects_by_language(), public_corpus("tatoeba").languages
    assert len(dialects) == len(set(dialects.values())) == 108
    assert (dialects["zh"], dialects["zh-Hant"], dialects["hi-Latn"]) == ("zho_Hans", "zho_Hant", "hin_Latn")
    assert len(sentences) == 85 and set(XTREME) <= set(sentences) and len(set(XTREME)) == 36
    assert len(xm3600_module.LANGUAGES) == 36 and xm3600_module.CODES["tl"] == "fil"
    codes = "ar da de en es fi fr he hu it ja km ko ms nl no pl pt ru sv th tr vi zh_cn zh_hk zh_tw"
    assert sorted(mkqa_module.LANGUAGES.values()) == sorted(codes.split())
    traditional = [mkqa_module.LANGUAGES[code] for code in ("zh", "zh-Hant", "zh-Hant-HK")]
    assert traditional == ["zh_cn", "zh_tw", "zh_hk"]
    for language in (*dialects, *sentences, *xm3600_module.LANGUAGES, *MIRACL.published, *MR_TYDI.published):
        check_language(language, "a benchmark")
    for language in mkqa_module.LANGUAGES:
        assert None not in (resource_class(language), script(language), family(language)), language
