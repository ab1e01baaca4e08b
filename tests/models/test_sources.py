import numpy as np
import pytest

from ptmiss import sample
from ptmiss.data import production
from ptmiss.events import inspect

pytest.importorskip("torch")

from ptmiss.models import sources
from ptmiss.models.cards import history
from ptmiss.networks.registry import shipped_models

ZMUMU = str(sample.events("zmumu"))


def test_which_events_were_used(tmp_path):
    """Two files of one name are two, and so are the first events of a file and more of them."""
    (tmp_path / "zmumu.root").symlink_to(sample.events("ttbar"))
    used = sources.describe({ZMUMU: 20, str(tmp_path / "zmumu.root"): None})
    assert [(about["file"], about["events"]) for about in used] == [("zmumu.root", 20), ("zmumu.root", 60)]
    assert len({about["uuid"] for about in used}) == 2
    assert sources.common(used[:1], used[1:]) == []


def test_what_a_file_says_of_its_events():
    (about,) = sources.describe({ZMUMU: 20})
    assert about["simulation"] == {"process": "zmumu", "seed": 101, "profile": "mc"}
    numbers = np.asarray(inspect(ZMUMU).events(0, 20).Pileup.nPU)
    assert about["pileup"] == [numbers.min(), numbers.max()]


def test_files_with_the_same_hard_collisions_are_found():
    """Another number of events or another pile-up makes another file, and not other collisions."""
    job = {"process": "zmumu", "seed": 7, "profile": "mc"}
    training = [
        {"file": "a.root", "events": 10, "uuid": "1", "simulation": job},
        {"file": "b", "events": 1, "uuid": "2"},
    ]
    others = [
        {"file": "same.root", "events": 5, "uuid": "2"},
        {"file": "copy.root", "events": 5, "uuid": "3", "simulation": dict(job)},
        {"file": "seed.root", "events": 5, "uuid": "4", "simulation": job | {"seed": 8}},
        {"file": "data.root", "events": 5, "uuid": "5", "simulation": job | {"profile": "data"}},
        {"file": "unknown.root", "events": 5, "uuid": "6"},
    ]
    assert sources.common(others, training) == ["same.root", "copy.root"]


def test_limits_are_those_of_the_events():
    ours = sources.limits(sources.describe({ZMUMU: 20, str(sample.events("ttbar")): 10}))
    assert "Trained on 30 events of the package's own simulation" in ours
    assert "never CMS" in ours
    assert "Processes: ttbar_dilepton, zmumu. Pile-up from" in ours
    unknown = sources.limits([{"file": "a", "events": 7, "uuid": "1"}])
    assert "Trained on 7 events of files that do not say how they were simulated. Other detectors" in unknown
    assert sources.limits([]) == "The files of the training are not known, and so its limits are not."


@pytest.mark.slow
@pytest.mark.parametrize("name", shipped_models())
def test_no_shipped_model_was_trained_on_the_embedded_sample(name):
    """Neither on its files, nor on the hard collisions of its tables."""
    embedded = sources.describe({str(sample.events(kind)): None for kind in production.EVENT_FILES})
    made = [*production.TABLES.values(), production.DATA_TTBAR]
    jobs = [{"process": one.process, "seed": one.seed, "profile": one.profile} for one in made]
    embedded += [{"file": str(job), "uuid": "", "simulation": job} for job in jobs]
    trained = history(name)
    assert trained
    assert sources.common(embedded, trained) == []
