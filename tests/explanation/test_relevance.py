"""Relevance of elements for candidates of MLPF: against differences, windows, and from a file to a page."""

import numpy as np
import pandas as pd
import pytest

import ptmiss
from ptmiss import explanation, sample
from ptmiss.elements import CLASSES, TYPES, Elements
from ptmiss.errors import FileError
from ptmiss.segments import from_counts

from ..helpers import call, failure, random_elements, random_network

torch = pytest.importorskip("torch")

from ptmiss.explanation import relevance
from ptmiss.models.mlpf.inputs import pack
from ptmiss.models.mlpf.reconstruction import MLPF
from ptmiss.models.mlpf.relevance import Attribution, attribute, attribute_part, draw, quantity_of


@pytest.fixture(scope="module")
def elements():
    return random_elements([30, 0, 200, 5])


def test_relevance_is_input_times_the_slope_of_the_candidate(elements):
    """Against central differences of each quantity in one event, of all features and of those of one element."""
    mlpf, one = MLPF(random_network("exact", width=32, hidden=16), "random"), elements.events(slice(2, 3))
    rows = pack(one, mlpf.network.schema)
    change = rows.features - mlpf.network.mean
    of_first = torch.where(torch.arange(len(change)) == 0, 1.0, 0.0)[:, None] * change
    for found in attribute_part(mlpf, one, np.random.default_rng(1)):
        chosen = torch.from_numpy(found.rows), found.candidate, found.quantity
        for step, part in ((change, found.relevance), (of_first, found.relevance[:1])):
            with torch.no_grad():
                up, down = (mlpf.network(rows._replace(features=rows.features + h * step)) for h in (0.01, -0.01))
            slope = float(quantity_of(up, *chosen).sum() - quantity_of(down, *chosen).sum()) / 0.02
            assert part.sum(dtype=np.float64) == pytest.approx(slope, rel=0.02, abs=5e-3)


def test_what_a_window_does_not_see_has_no_relevance(elements):
    mlpf = MLPF(random_network(window=32, width=32, hidden=16, layers=1), "random")
    (groups,) = mlpf.groups(elements)
    for _, one in attribute(mlpf, elements, np.random.default_rng(3)):
        event = np.repeat(np.arange(4), np.diff(elements.offsets))
        own = one.rows[event]
        seen = (own >= 0) & (groups.number == groups.number[own])
        assert not one.relevance[~seen].any()
        assert one.relevance[seen].any()


def test_one_random_row_of_each_event():
    offsets, wanted = np.array([0, 3, 3, 6, 8]), np.array([1, 0, 1, 0, 0, 0, 1, 1], bool)
    drawn = np.array([draw(wanted, offsets, np.random.default_rng(seed)) for seed in range(40)])
    assert set(drawn[:, 0]) == {0, 2}
    assert set(drawn[:, 1]) == set(drawn[:, 2]) == {-1}
    assert set(drawn[:, 3]) == {6, 7}


def test_shares_of_a_known_relevance():
    """Three elements: the candidate's with 2, an ECAL cluster at dR 0.1 with -1, an HCAL cluster far away with 1."""
    columns = dict(random_elements([3]).columns)
    columns["type"] = np.array([1, 4, 5], columns["type"].dtype)
    columns["eta"], columns["phi"] = np.array([1, 1, -1], np.float32), np.array([3.1, -3.083185, 0], np.float32)
    columns["caloEta"] = columns["caloPhi"] = np.zeros(3, np.float32)
    elements = Elements(columns, from_counts(np.array([3])))
    sizes = np.array([[1.5, 0.5], [0.0, -1.0], [1.0, 0.0]], np.float32)
    one = Attribution(1, "class", np.array([0]), np.array([5.0], np.float32), sizes)
    found = relevance.tabulate("x", ["a", "b"], [(elements, one)])
    shares = found.sources.set_index("source")["share"]
    assert shares["itself"] == pytest.approx(0.5)
    assert shares[["ECAL cluster", "HCAL cluster", "track"]].tolist() == pytest.approx([0.25, 0.25, 0])
    assert shares[list(relevance.DISTANCES)].tolist() == pytest.approx([0, 0.25, 0, 0.25])
    inputs = found.features.set_index("input")[["itself", "others"]]
    assert inputs.loc["a"].tolist() == pytest.approx([1.5 / 4, 1 / 4])
    assert inputs.loc["b"].tolist() == pytest.approx([0.5 / 4, 1 / 4])
    assert found.display["share"].tolist() == pytest.approx([0.5, -0.25])
    assert found.display["dphi"].tolist() == pytest.approx([0, 0.1], abs=1e-4)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """An explanation of the shipped network on embedded events, by the command line."""
    place = tmp_path_factory.mktemp("explained") / "out"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(relevance, "save", lambda figure, stem, formats: stem.with_suffix(".png").touch())
        printed = call("explain", "mlpf", sample.events("zmumu"), "--max-events", 4, "--output", place)
    assert "neutral hadron" in printed
    assert "itself" in printed
    return place


def test_what_is_written_and_read(place):
    found = relevance.open_directory(place)
    assert set(found.sources["candidate"]) <= set(CLASSES[1:])
    whole = found.sources[found.sources["level"] != "distance"].groupby(["candidate", "quantity"])["share"].sum()
    assert whole.to_numpy() == pytest.approx(1, abs=1e-4)
    assert set(found.sources["source"]) == {"itself", *TYPES.values(), *relevance.DISTANCES}
    assert {path.suffix for path in place.iterdir()} >= {".csv", ".png", ".json"}
    explanation.show(found)


@pytest.mark.slow
def test_a_page_of_it(place, tmp_path, empty_pictures):
    page = ptmiss.report(place, tmp_path / "page.html").read_text()
    assert "Whose relevance it is" in page


def test_what_has_no_relevance(tmp_path):
    pd.DataFrame().to_csv(tmp_path / "sources.csv")
    with pytest.raises(FileError, match="is not an explanation of an MLPF"):
        relevance.open_directory(tmp_path)
    assert "has no particle-flow elements" in failure("explain", "mlpf", sample.events("zee"))
