"""The table of public corpora, and how each corpus of it is read from files as they are published, made up here."""

import dataclasses
import io
import re
import zipfile

import pytest

from mixlingua.data.public_corpora import DOCUMENTS, PublicFile, public_corpora, public_corpus
from mixlingua.data.readers.parallel import ParallelReader
from mixlingua.data.readers.sentences import KEYED, Sentence, keyed_sentences, merged_sentences
from mixlingua.errors import ConfigError, DataError
from mixlingua.files import sha256
from mixlingua.languages import check_language

pytestmark = pytest.mark.usefixtures("own_cache")
CONLLU = """\
# newdoc id = n01001
# sent_id = n01001011
# text = {language} one = 1
# text_en = not this
1\ta\ta\tX\t_\t_\t0\troot\t_\t_

# sent_id = n01001013
# text = {language} two
1\ta = b\ta\tX\t_\t_\t0\troot\t_\t_

"""
TMX = """\
<?xml version="1.0" encoding="UTF-8"?>
<tmx version="1.4"><header srclang="en"></header><body>
<tu tuid="PubMed_6:1"><prop type="note">where it is from</prop>
<tuv xml:lang="en">
<seg>it&apos;s one</seg></tuv>
<tuv xml:lang="{locale}"><seg>{locale} <ph>one</ph></seg></tuv>
</tu>
<tu tuid="PubMed_6:2"><tuv xml:lang="en"><seg>two</seg></tuv><tuv xml:lang="{locale}"><seg>{locale} two</seg></tuv></tu>
</body></tmx>
"""


@pytest.fixture
def published(monkeypatch, network):
    """Publishes contents under the paths of a corpus, as if the table had their checksums."""

    def publish(name, contents):
        corpus = public_corpus(name)
        made = {file.path: tmp for file in corpus.files if (tmp := contents(file)) is not None}
        for path, content in made.items():
            network[path] = content

        def is_published(self, path):
            return path.read_bytes() == made[self.path]

        monkeypatch.setattr(PublicFile, "is_published", is_published)

    return publish


@pytest.mark.parametrize("corpus", public_corpora().values(), ids=lambda corpus: corpus.name)
def test_every_entry_is_well_formed(corpus):
    assert corpus.licence and corpus.format in ("lines", *KEYED)
    for language in corpus.languages:
        check_language(language, f"public_corpora.toml: {corpus.name}")
    assert len({(file.part, file.language) for file in corpus.files}) == len(corpus.files)
    for file in corpus.files:
        assert re.fullmatch(r"[\w.-]+/[\w.-]+", file.repository) and re.fullmatch(r"[0-9a-f]{40}", file.commit)
        assert re.fullmatch(r"[0-9a-f]{64}", file.sha256 or "") or (file.sha256 is None and file.lines)
        assert file.bytes or file.lines
    names = {file.name: file.path for file in corpus.files}
    assert all(names[file.name] == file.path for file in corpus.files), "the cache tells files apart by their names"
    assert all(len(part.keys() - {DOCUMENTS}) >= 2 for part in corpus.parts(corpus.languages, "here").values())


def test_the_development_fold_of_flores_is_that_of_its_prepared_file(shared_data):
    rows = {
        fold: ParallelReader(shared_data / "parallel" / "flores.jsonl.gz", fold=fold).rows()
        for fold in ("dev", "train")
    }
    lines = {fold: {int(row.id.removeprefix("flores-")) + 1 for row in of_fold} for fold, of_fold in rows.items()}
    dev = public_corpus("flores").dev_lines
    assert dev == lines["dev"] | {142} and not dev & lines["train"]


def test_flores_is_fetched_as_lines_in_two_parts(tmp_path, published):
    def contents(file):
        number = {"dev": 997, "test": 1012}[file.part]
        return "".join(f"{file.language} {file.part} {line}\n" for line in range(1, number + 1)).encode()

    published("flores", contents)
    reader = ParallelReader(tmp_path / "flores.jsonl.gz", "flores", corpus="flores", fetched=["de", "th"])
    rows = list(reader.rows())
    assert len(rows) == 2009 - 975
    assert (rows[0].id, rows[0].queries) == ("dev:6", {"de": "de dev 6", "th": "th dev 6"})
    assert rows[-1].id == "test:1012"
    assert sorted(file.name for file in (tmp_path / "cache" / "flores").rglob("*.*")) == [
        "flores-dev.de", "flores-dev.th", "flores-test.de", "flores-test.th",
    ]  # fmt: skip


def test_pud_is_fetched_as_conllu_and_joined_by_sentence(tmp_path, published):
    def contents(file):
        text = CONLLU.format(language=file.language)
        return text.replace("n01001013", "n01001099").encode() if file.language == "th" else text.encode()

    published("pud", contents)
    first, second = ParallelReader(tmp_path / "no.jsonl.gz", "pud", corpus="pud").rows()  # th alone has a third
    assert (first.id, first.split_key, len(first.queries)) == ("n01001011", "n01001", 9)
    assert first.queries["zh-Hant"] == "zh-Hant one = 1"
    assert "th" not in second.queries and second.queries["ru"] == "ru two"


def test_tico19_is_fetched_as_tmx_in_archives(tmp_path, published):
    def contents(file):
        locale = re.search(r"en-([\w-]+)\.tmx", file.name)[1]
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w") as archive:
            archive.writestr(f"all.en-{locale}.tmx", TMX.format(locale=locale))
        return packed.getvalue()

    published("tico19", contents)
    path = tmp_path / "no.jsonl.gz"
    first, second = ParallelReader(path, "tico19", corpus="tico19").rows()
    assert (first.id, first.split_key, second.id) == ("PubMed_6:1", "PubMed_6", "PubMed_6:2")
    assert first.queries == {
        "ar": "ar one", "en": "it's one", "es": "es-LA one", "hi": "hi one", "ru": "ru one", "zh": "zh one",
    }  # fmt: skip
    (row,) = ParallelReader(path, "tico19", corpus="tico19", pairing="next", include_query=0.0).rows()
    assert row.passages["es"] == "es-LA two"


def test_mt_geneval_is_fetched_as_pairs_that_are_joined_by_their_english(tmp_path, published):
    def contents(file):
        if file.part not in ("feminine-dev-de", "feminine-dev-ru", "masculine-dev-de"):
            return f"{file.part} {file.language}\n".encode()
        gender = file.part.partition("-")[0]
        other = "" if file.part.endswith("ru") else f"{gender} {file.language} alone\n"
        return f"{gender} {file.language} shared\n{other}".encode()

    published("mt_geneval", contents)
    reader = ParallelReader(tmp_path / "no.jsonl.gz", "mt_geneval", corpus="mt_geneval", fetched=["de", "ru"])
    rows = {row.queries["en"]: sorted(row.queries) for row in reader.rows()}
    assert rows["feminine en shared"] == ["de", "en", "ru"]
    assert rows["feminine en alone"] == rows["masculine en shared"] == ["de", "en"]
    assert rows["feminine-test-ru en"] == ["en", "ru"]


def test_wmt24_is_fetched_without_its_first_line_and_knows_its_documents(tmp_path, published):
    def contents(file):
        if file.language == DOCUMENTS:
            return b"canary\tcanary\nnews\tone\nnews\tone\nsocial\ttwo\n"
        return f"CANARY\n{file.language} 1\n{file.language} 2\n{file.language} 3\n".encode()

    published("wmt24", contents)
    path = tmp_path / "no.jsonl.gz"
    rows = list(ParallelReader(path, "wmt24", corpus="wmt24").rows())
    assert [(row.id, row.split_key) for row in rows] == [("one:2", "one"), ("one:3", "one"), ("two:4", "two")]
    (row,) = ParallelReader(path, "wmt24", corpus="wmt24", pairing="next", include_query=0.0).rows()
    assert (row.queries["hi"], row.passages["hi"]) == ("hi 1", "hi 2")


def test_ntrex_is_fetched_where_its_folder_is_missing(tmp_path, network, monkeypatch):
    ids = tmp_path / "ids"
    ids.write_text("".join(f"document {line // 10}\n" for line in range(1997)))
    for code in ("cym", "gle"):  # known by their number of lines
        network[f"newstest2019-ref.{code}.txt"] = b"".join(b"%s %d\n" % (code.encode(), n) for n in range(1997))
    corpus = public_corpus("ntrex")
    known = dataclasses.replace(corpus.files[0], sha256=sha256(ids))
    monkeypatch.setitem(public_corpora(), "ntrex", dataclasses.replace(corpus, files=(known, *corpus.files[1:])))

    def reader(fetched, **options):
        options |= {"pairing": "next", "span": 1, "include_query": 0.0}
        return ParallelReader(tmp_path / "ntrex", "ntrex", fetched=fetched, **options)

    with pytest.raises(DataError, match=r"data\.sources\.ntrex needs DOCUMENT_IDS\.tsv"):
        reader(["cy", "ga"], corpus="ntrex").fingerprint()
    network["DOCUMENT_IDS.tsv"] = ids.read_bytes()
    first = next(reader(["ga", "cy"], corpus="ntrex").rows())
    assert first.queries == {"cy": "cym 0", "ga": "gle 0"} and first.split_key == "document 0"
    same = [reader(fetched, corpus="ntrex").fingerprint() for fetched in (["ga", "cy"], ["cy", "ga"])]
    assert same[0] == same[1]
    with pytest.raises(ConfigError, match=r"data\.sources\.ntrex\.fetched: ntrex has no language 'deu'"):
        reader(["deu"], corpus="ntrex").fingerprint()
    (tmp_path / "ntrex").mkdir()
    with pytest.raises(DataError, match=r"neither <language>\.txt nor"):  # a folder of the user's is never filled up
        reader(["cy", "ga"], corpus="ntrex").fingerprint()


def test_tatoeba_is_fetched_where_its_folder_is_missing(tmp_path, network):
    files = [file for file in public_corpus("tatoeba").files if file.part.endswith(("afr-eng", "amh-eng", "bre-eng"))]
    for file in files:
        network[file.name] = f"{file.name}\n".encode() * file.lines

    def reader(*fetched):
        return ParallelReader(tmp_path / "tatoeba", "tatoeba", corpus="tatoeba", fetched=fetched)

    assert [row.queries for row in reader("am", "af").rows()][::1000] == [
        {"af": "tatoeba.afr-eng.afr", "en": "tatoeba.afr-eng.eng"},
        {"am": "tatoeba.amh-eng.amh", "en": "tatoeba.amh-eng.eng"},
    ]
    before = reader("am", "af").fingerprint()
    list(reader("br").rows())
    assert reader("am", "af").fingerprint() == before, "other languages in the cache change nothing"


def test_what_is_not_the_published_file_is_not_kept(tmp_path, network):
    for file in public_corpus("pud").files:
        network[file.name] = CONLLU.format(language=file.language).encode()
    with pytest.raises(DataError, match=r"not the published file .* put a trusted copy into .*/pud"):
        ParallelReader(tmp_path / "no.jsonl.gz", "pud", corpus="pud").fingerprint()
    assert not list((tmp_path / "cache" / "pud").rglob("*.conllu"))


def test_originals_beside_the_prepared_file_are_read(tmp_path):
    (tmp_path / "pud").mkdir()
    for file in public_corpus("pud").files:
        (tmp_path / "pud" / file.name).write_text(CONLLU.format(language=file.language))
    assert len(list(ParallelReader(tmp_path / "pud.jsonl.gz", "pud", corpus="pud").rows())) == 2


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.conllu", b"# text = before its id\n", r"a\.conllu:1: a text before its sent_id"),
        ("a.conllu", b"1\ta\n", r"a\.conllu: no sentence in 'de'"),
        ("a.conllu", (CONLLU * 2).encode(), r"a\.conllu: n01001011 comes twice"),
        ("a.tmx.zip", b"PK", r"a\.tmx\.zip: no archive of one TMX file"),
        ("a.tmx.zip", {"a.tmx": TMX[:-20]}, r"a\.tmx\.zip: no archive of one TMX file, or damaged"),
        ("a.tmx.zip", {"a.txt": TMX}, r"a\.tmx\.zip: no archive of one TMX file"),
        ("a.tmx.zip", {"a.tmx": TMX.replace("</seg>", "</seg>").format(locale="ru")}, r"no sentence in 'de'"),
    ],
)
def test_damaged_files_are_named(tmp_path, name, content, message):
    if isinstance(content, dict):
        with zipfile.ZipFile(tmp_path / name, "w") as archive:
            for member, text in content.items():
                archive.writestr(member, text)
    else:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=message):
        list(keyed_sentences({"de": tmp_path / name}, "tmx" if name.endswith("zip") else "conllu"))


def test_sentences_of_equal_english_text_are_one_however_it_is_written():
    """With the id of the first, and the first translation into each language."""
    sentences = [
        Sentence("1", {"en": "A café.", "de": "Ein Café."}, "x:1"),
        Sentence("2", {"en": " A cafe\u0301.", "de": "Das Café.", "fr": "Un café."}, "x:2"),
        Sentence("3", {"de": "Tee."}, "x:3"),
    ]
    assert [(one.id, one.texts) for one in merged_sentences(sentences)] == [
        ("1", {"en": "A café.", "de": "Ein Café.", "fr": "Un café."}), ("3", {"de": "Tee."}),
    ]  # fmt: skip
