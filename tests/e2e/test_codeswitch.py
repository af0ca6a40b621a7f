"""Training on code-switched text, from the command line to the run folder."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from tests.runs import same, trained

Launch = Callable[..., int]
SHORT = ["optimizer.schedule=constant", "evaluation=[]"]


@pytest.fixture
def dictionaries(tmp_path: Path) -> Path:
    """de-en and en-de; none for French."""
    folder = tmp_path / "dictionaries"
    folder.mkdir()
    words = ["Hund dog", "Katze cat", "Haus house", "Baum tree", "Fluss river", "Berg mountain", "Stadt town"]
    (folder / "de-en.txt").write_text("".join(f"{line.lower()}\n" for line in words))
    (folder / "en-de.txt").write_text("".join(f"{' '.join(reversed(line.lower().split()))}\n" for line in words))
    return folder


def test_a_code_switched_run_trains_and_resumes_exactly(
    launch: Launch, tmp_path: Path, dictionaries: Path, capfd: pytest.CaptureFixture
) -> None:
    switched = [*SHORT, "augmentation=codeswitch_multilingual", "augmentation.probability=0.75"]
    assert launch(*switched, "hydra.run.dir=whole", "trainer.max_steps=4") == 0
    plan = " ".join(capfd.readouterr().out.split())
    assert "codeswitch_multilingual, probability 0.75" in plan
    assert "de: into en (7 words); no dictionary into fr" in plan
    assert "fr: its texts are left as they are; no dictionary into de en" in plan
    assert launch(*SHORT, "hydra.run.dir=plain", "trainer.max_steps=4") == 0
    assert not same(trained(tmp_path / "whole"), trained(tmp_path / "plain"))
    config = yaml.safe_load((tmp_path / "whole" / "config.yaml").read_text())["augmentation"]
    assert (config["variant"], config["query_targets"]) == ("multilingual", ["de", "en", "fr"])
    provenance = json.loads((tmp_path / "whole" / "report.json").read_text())["provenance"]
    assert provenance["augmentation"]["name"] == "codeswitch_multilingual"
    assert sorted(provenance["augmentation"]["dictionaries"]) == ["de-en", "en-de"]

    assert launch(*switched, "hydra.run.dir=first", "trainer.max_steps=2") == 0
    assert launch(*switched, "hydra.run.dir=second", "trainer.max_steps=4", "resume=first") == 0
    assert same(trained(tmp_path / "second"), trained(tmp_path / "whole"))

    (dictionaries / "en-de.txt").write_text("dog köter\n")
    changed = ["augmentation=codeswitch_bilingual", "augmentation.probability=0.5"]
    assert launch(*SHORT, *changed, "hydra.run.dir=third", "trainer.max_steps=4", "resume=first") == 2
    message = capfd.readouterr().err.splitlines()[-1]
    assert "augmentation.name was 'codeswitch_multilingual', is 'codeswitch_bilingual'" in message
    assert "augmentation.probability was 0.75, is 0.5" in message
    assert "augmentation.dictionaries.en-de was '" in message
    assert "augmentation.dictionaries.de-en" not in message


def test_a_bad_dictionary_is_named_before_weights_are_loaded(
    launch: Launch, dictionaries: Path, capfd: pytest.CaptureFixture
) -> None:
    (dictionaries / "de-en.txt").write_text("hund dog\nder große hund\n")
    assert launch(*SHORT, "augmentation=codeswitch_bilingual", "model.name_or_path=tiny") == 2
    assert f"{dictionaries / 'de-en.txt'}:2: 3 words and no tab" in capfd.readouterr().err
