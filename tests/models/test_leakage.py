"""No shipped network was tested on what it was trained on, by what the cards and the weights files say of their events.

Training, validation (which chose epochs) and test are apart: files by their identity, simulated ones also by process
and seed, where cards list them; the seeds that a card tells in words, and those of the embedded sample, otherwise.
"""

import json
import re

import pytest

from ptmiss.data.production import DATA_TTBAR, EVENT_FILES, TABLES
from ptmiss.models import sources
from ptmiss.models.cards import RESULTS, files_used, history
from ptmiss.networks.registry import CARD, shipped_models, weights_file
from ptmiss.networks.weights import read_tensors
from ptmiss.sample import DIRECTORY

SEED = re.compile(r"\d+")
EMBEDDED = [*EVENT_FILES.values(), *TABLES.values(), DATA_TTBAR]


def provenance(name):
    """How the network of a shipped model was made."""
    return json.loads(read_tensors(weights_file(name))[1]["provenance"])


def card(name):
    """Text of a card above its results, and the results."""
    made, _, results = weights_file(name).with_name(CARD).read_text().partition(RESULTS)
    return made, results


def training_numbers(name):
    """Numbers of a card's line about the simulation, the seeds of training and validation among them."""
    told = re.findall(r"^\* simulation: (.*)$", card(name)[0], re.MULTILINE)
    other = [training_numbers(text) for text in re.findall(r"as `(\w+)`", " ".join(told))]
    return set(map(int, SEED.findall(" ".join(told)))).union(*other)


def listed_seeds(name):
    """(process, seed, profile) of the training and validation of a model and of those that it began with."""
    made = [file["simulation"] for file in history(name) if "simulation" in file]
    return {(one["process"], one["seed"], one["profile"]) for one in made}


@pytest.mark.parametrize("name", shipped_models())
def test_training_and_validation_are_apart(name):
    made = provenance(name)
    for other in (made, *([provenance(made["recipe"]["start_from"])] if starts_at_shipped(made) else [])):
        if {"training", "validation"} <= other.get("events", {}).keys():
            assert not sources.common(files_used(made, "validation"), files_used(other, "training"))


def starts_at_shipped(made):
    return made.get("recipe", {}).get("start_from") in shipped_models()


@pytest.mark.parametrize("name", shipped_models())
def test_the_seeds_of_the_results_are_others_than_those_of_the_training(name):
    titles = re.findall(r"^### (.*)$", card(name)[1], re.MULTILINE)
    tested = {
        int(n) for title in titles for group in re.findall(r"seeds? ([\d, ]+)", title) for n in SEED.findall(group)
    }
    assert tested
    assert not tested & training_numbers(name)
    assert not tested & {seed for _, seed, _ in listed_seeds(name)}


@pytest.fixture(scope="module")
def embedded_files():
    """Identities of the embedded event files."""
    return {file["uuid"] for file in sources.describe({str(path): None for path in DIRECTORY.glob("*.root")})}


@pytest.mark.parametrize("name", shipped_models())
def test_nothing_was_trained_on_the_embedded_sample(name, embedded_files):
    embedded = {(one.process, one.seed, one.profile) for one in EMBEDDED}
    assert not embedded & listed_seeds(name)
    assert not {seed for _, seed, _ in embedded} & training_numbers(name)
    assert not embedded_files & {file["uuid"] for file in history(name)}
