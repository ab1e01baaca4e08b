import numpy as np
import pytest
import uproot

from ptmiss.fitting import combine
from ptmiss.fitting.templates import collect

from .conftest import make_run

NORMS = {"lumi": {"wmunu": 1.016, "dy": 1.016, "ttbar": 1.016}, "top_rate": {"ttbar": 1.06}}


@pytest.fixture(scope="module")
def region():
    return collect(make_run(), "mt", "deepmet")


def rows(card):
    return {line.split()[0]: line.split()[1:] for line in card.splitlines() if line and line[0] not in "#-"}


def test_a_card_names_what_the_file_has(region, tmp_path):
    (path,) = combine.write([region], tmp_path)
    card = rows(combine.card(region, NORMS))
    processes = ["wmunu", "dy", "ttbar"]
    lines = [line.split() for line in combine.card(region, NORMS).splitlines()]
    assert ["process", *processes] in lines
    assert ["process", "0", "1", "2"] in lines
    assert card["lumi"] == ["lnN", "1.016", "1.016", "1.016"]
    assert card["top_rate"] == ["lnN", "-", "-", "1.06"]
    assert card["jes"] == ["shape", "1", "1", "-"]
    assert card["mt_deepmet"] == ["autoMCStats", "10"]
    with uproot.open(path) as file:
        for number, process in enumerate(processes):
            rate = file[f"mt_deepmet/{process}"].values().sum()
            assert rate == pytest.approx(float(card["rate"][number]), rel=1e-5)
        for systematic in ("jes", "smoothing"):
            for process, on in zip(processes, card[systematic][1:], strict=True):
                for side in ("Up", "Down"):
                    assert (f"mt_deepmet/{process}_{systematic}{side}" in file) == (on == "1")
        assert file["mt_deepmet/data_obs"].values().sum() == float(card["observation"][0])


def test_histograms_come_back_as_they_were(region, tmp_path):
    (path,) = combine.write([region], tmp_path)
    with uproot.open(path) as file:
        read = file["mt_deepmet/wmunu"]
        np.testing.assert_array_equal(read.axis().edges(), region.edges)
        np.testing.assert_array_equal(read.values(), region.processes["wmunu"].nominal.values)
        np.testing.assert_allclose(read.variances(), region.processes["wmunu"].nominal.variances)
