"""Cards: every key is checked, and a card belongs to its weights."""

import re
import shutil
from hashlib import sha256

import pytest

from ptmiss.errors import WeightsError
from ptmiss.files import write_atomically
from ptmiss.models.cards import ship
from ptmiss.networks import card, registry
from ptmiss.networks.registry import CARD, load_model, save_model, shipped_models, weights_file

from ..helpers import call, failure, random_model

MADE = {"command": "ptmiss train deepmet z.root", "events": {"z.root": 12}, "seed": 4}
UPDATE = "cd models/shipped && sha256sum */model.safetensors > SHA256SUMS"


@pytest.mark.parametrize("name", shipped_models())
def test_the_card_of_a_model_of_the_package(name):
    found = registry.check(name)
    assert found.model_name == name
    assert found.license == "bsd-3-clause"
    assert "simulation" in found.training_data


def test_the_hashes_of_all_models_of_the_package():
    folder = weights_file("deepmet").parents[1]
    found = {f"{path.parent.name}/{path.name}": path for path in folder.glob("*/model.safetensors")}
    lines = dict(reversed(line.split("  ")) for line in (folder / "SHA256SUMS").read_text().splitlines())
    assert lines == {name: sha256(path.read_bytes()).hexdigest() for name, path in found.items()}, UPDATE


def test_a_card_that_ptmiss_writes_is_one(tmp_path):
    ship(random_model(), tmp_path, MADE, {})
    found = registry.check(tmp_path)
    assert (found.version, found.training_data, found.release) == ("1.0.0", "z.root 12", (1, 0, 0))
    assert call("models", "check", tmp_path).startswith("random 1.0.0, bsd-3-clause:")


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (r"version: .*\n", 'version: "1.0"\n', "version: string should match pattern"),
        (r"version: .*\n", 'version: "01.0.0"\n', "version: string should match pattern"),
        (r"license: .*\n", "", "license: field required"),
        (r"training_data: .*\n", 'training_data: ""\n', "training_data: string should have at least 1 character"),
        (r"parameters: .*\n", "parameters: many\n", "parameters: input should be a valid integer"),
        (
            r"architecture: .*\n",
            "architecture: resnet\n",
            "architecture: input should be 'deepmet', 'attention', 'linear', 'mlpf' or 'superclusters'",
        ),
        (r"parameters: .*\n", "parameters: 7\n", "does not fit the weights beside it: parameters 7, the file has 5149"),
        (r"license: .*\n", "license: [\n", "the front matter is no YAML"),
        (r"---\n", "", "library_name: field required"),
    ],
)
def test_what_is_wrong_with_a_card(tmp_path, old, new, said):
    ship(random_model(), tmp_path, MADE, {})
    text = (tmp_path / CARD).read_text()
    (tmp_path / CARD).write_text(re.sub(rf"(?m)^{old}", new, text, count=1))
    assert said in failure("models", "check", tmp_path)


def test_keys_of_a_hub_are_let_be(tmp_path):
    ship(random_model(), tmp_path, MADE, {})
    text = (tmp_path / CARD).read_text().replace("---\n", "---\ntags: [physics, met]\npipeline_tag: tabular\n", 1)
    write_atomically(tmp_path / CARD, text)
    assert registry.check(tmp_path).model_name == "random"


def test_a_card_of_other_weights_is_not_loaded_with(tmp_path):
    ship(random_model(), tmp_path, MADE, {})
    save_model(random_model(1), tmp_path / "model.safetensors", "others")
    with pytest.raises(WeightsError, match=r"README\.md does not fit the weights beside it: sha256"):
        load_model(tmp_path)


def test_weights_without_a_card_are_loaded_and_not_checked(tmp_path):
    shutil.copy(weights_file("linear"), tmp_path / "model.safetensors")
    assert load_model(tmp_path).name == "linear"
    with pytest.raises(WeightsError, match="no such card"):
        registry.check(tmp_path)


def test_a_page_without_front_matter():
    assert card.front_matter("# A page\n") == ""
    assert card.front_matter("---\na: 1\n---\n# A page\n") == "a: 1"
