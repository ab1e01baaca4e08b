import json
import re
import shlex

import numpy as np
import pandas as pd
import pytest

pytest.importorskip("torch")

from ptmiss import sample
from ptmiss.cli.train import train
from ptmiss.errors import FileError, OptionError
from ptmiss.models import sources
from ptmiss.models.cards import RESULTS, add_results, card, history, markdown, ship
from ptmiss.models.deepmet.recipe import Recipe as Options
from ptmiss.models.workflow import make_recipe
from ptmiss.networks.registry import CARD, load_model, shipped_models, weights_file
from ptmiss.networks.weights import fingerprint
from ptmiss.recoil import Recoil
from ptmiss.resolutions.comparison import compare

from ..helpers import random_model

MADE = {"command": "ptmiss train deepmet z.root", "events": {"z.root": 12}, "seed": 4}


def comparison(scale=1.0):
    """Two estimators of the same 500 events, the second half as wide."""
    rng = np.random.default_rng(0)
    q, noise = rng.uniform(20, 100, 500), rng.normal(0, 10 * scale, (2, 500))
    recoils = {"pf": Recoil(q + noise[0], noise[1], q), "net": Recoil(q + noise[0] / 2, noise[1] / 2, q)}
    return compare(recoils, np.ones(500), ["pf"], replicas=20).assign(axis="inclusive", low=-np.inf, high=np.inf)


def test_a_card_says_what_the_model_is_and_how_it_was_made():
    model = random_model(padding=4500)
    _, front, text = card(model, MADE, {"loss": 0.123456, "response": 0.9}).split("---\n", 2)
    stated = {key: json.loads(value) for key, value in (line.split(": ", 1) for line in front.splitlines())}
    assert (stated["parameters"], stated["padding"]) == (5149, 4500)
    assert stated["sha256"] == fingerprint(model.tensors)
    assert '* events: `{"z.root": 12}`' in text
    assert "* command: `ptmiss train deepmet z.root`" in text
    assert "* loss: 0.1235" in text
    assert "The files of the training are not known" in text


def test_what_validation_did():
    chose = card(random_model(), MADE, {"loss": 1.0})
    assert "Validation events, which chose the epoch:" in chose
    last = card(random_model(), MADE | {"recipe": {"choice": "last"}}, {"loss": 1.0})
    assert "Validation events, after the last epoch, which is kept:" in last


def test_whose_candidates_they_were():
    of_mlpf = card(random_model(), MADE | {"candidates": {"reconstruction": "mlpf"}}, {})
    assert "Its candidates were those of `mlpf`, not those of files: run it as `random_mlpf`." in of_mlpf
    assert "candidates were" not in card(random_model(), MADE, {})


def test_without_a_validation_nothing_is_said_of_it():
    assert "Validation events" not in card(random_model(), MADE, {})


def test_a_shipped_model_is_a_folder_that_loads(tmp_path):
    digest = ship(random_model(), tmp_path / "net", MADE, {})
    assert fingerprint(load_model(tmp_path / "net").tensors) == digest
    assert digest in (tmp_path / "net" / CARD).read_text()


def test_what_a_model_began_with_is_known_when_another_is_in_its_place(tmp_path):
    first = {"file": "a.root", "uuid": "1", "events": 7}
    second = {"file": "b.root", "uuid": "2", "events": 8}
    for file, recipe in ((first, {}), (second, {"start_from": str(tmp_path)})):
        ship(random_model(), tmp_path, {"events": {"training": [file]}, "recipe": recipe}, {})
    assert history(tmp_path) == [second, first]


def test_results_are_put_in_and_replaced(tmp_path):
    ship(random_model(), tmp_path, MADE, {})
    before = (tmp_path / CARD).read_text()
    add_results(tmp_path, {"Z": markdown(comparison(3.0)), "W": markdown(comparison(3.0))})
    add_results(tmp_path, {"Z → μμ": markdown(comparison())})
    text = (tmp_path / CARD).read_text()
    assert text.startswith(before.strip())
    assert text.count(RESULTS) == text.count("### ") == 1
    assert text.endswith(f"### Z → μμ\n\n{markdown(comparison())}\n")


def test_only_results_of_unseen_events_are_called_so(tmp_path):
    zmumu, ttbar = (str(sample.events(name)) for name in ("zmumu", "ttbar"))
    made = MADE | {"events": {"training": sources.describe({zmumu: 10}), "validation": []}}
    ship(random_model(), tmp_path / "a", made, {})
    assert "Nobody compared" in (tmp_path / "a" / CARD).read_text()
    add_results(tmp_path / "a", {"T": markdown(comparison())}, [ttbar])
    assert "On ttbar.root (60): not in the training" in (tmp_path / "a" / CARD).read_text()
    with pytest.raises(OptionError, match=r"the training of .* saw events of zmumu\.root: they are no test of it"):
        add_results(tmp_path / "a", {"Z": markdown(comparison())}, [ttbar, zmumu])
    later = MADE | {"events": {"training": [], "validation": []}, "recipe": {"start_from": str(tmp_path / "a")}}
    ship(random_model(), tmp_path / "b", later, {})
    with pytest.raises(OptionError, match=r"saw events of zmumu\.root"):
        add_results(tmp_path / "b", {"Z": markdown(comparison())}, [zmumu])


def test_a_table_of_results():
    found = comparison()
    head, rule, pf, net = ([c.strip() for c in line.strip("|").split("|")] for line in markdown(found).splitlines())
    assert head[-2:] == ["RMS par vs pf, %", "RMS perp vs pf, %"]
    assert len(head) == len(rule) == len(pf) == len(net) == 8
    width = found.set_index("estimator").loc["net", ["rms_par", "rms_par_error"]]
    assert net[2] == f"{width['rms_par']:.2f} ± {width['rms_par_error']:.2f}"
    assert pf[-1] == ""
    assert float(net[-1].split(" ± ")[0]) == pytest.approx(50, abs=1)


def test_only_inclusive_results_are_told():
    found = comparison()
    assert markdown(pd.concat([found, found.assign(axis="npv")])) == markdown(found)


@pytest.mark.parametrize("name", shipped_models())
def test_the_command_on_a_shipped_card_is_one_that_works(name):
    """It has options and a recipe of today; a fit takes no validation events."""
    text = (weights_file(name).with_name(CARD)).read_text()
    program, group, verb, *arguments = shlex.split(re.search(r"\* command: `(.*)`", text)[1])
    assert (program, group) == ("ptmiss", "train")
    command = train.commands[verb]
    given = command.make_context(verb, arguments).params
    recipe = {key: value for key, value in given.items() if value not in (None, {}) and key in Options.model_fields}
    if given.get("network") == "linear":
        assert not given["validation"]
    elif verb == "deepmet":
        make_recipe(Options, recipe)


def test_no_card_to_put_results_into(tmp_path):
    with pytest.raises(FileError, match="no such model card"):
        add_results(tmp_path, {})
    (tmp_path / CARD).write_text("# Something else\n")
    with pytest.raises(FileError, match="has no line '## Results'"):
        add_results(tmp_path, {})
