import numpy as np
import pytest

from ptmiss.evaluation.displays import of_event, of_groups, strongest
from ptmiss.evaluation.study import Shown

torch = pytest.importorskip("torch")

from ptmiss.models.mlpf.reconstruction import MLPF

from ..helpers import SMALL, random_elements, random_network


@pytest.mark.parametrize(
    ("name", "changes", "size"),
    [("compact", {**SMALL, "layers": 3}, 32), ("lsh", {"width": 32, "hidden": 16, "window": 16}, 16)],
)
def test_groups_are_those_of_the_layers(name, changes, size):
    elements = random_elements([100])
    groups = MLPF(random_network(name, **changes), name).groups(elements)
    assert len(groups) == 3
    for layer in groups:
        counts = np.bincount(layer.number)
        assert counts.sum() == len(layer.number) == 100
        assert counts.max() <= size
        assert (layer.number[layer.edges[:, 0]] == layer.number[layer.edges[:, 1]]).all()
        assert len(layer.edges) == (np.sum(counts * (counts - 1) // 2) if name == "lsh" else 0)
        assert (layer.strength > 0).all()
        assert (layer.strength <= 1).all()
    figure = of_groups(Shown(elements, {}, groups))
    assert len([ax for ax in figure.axes if ax.has_data()]) == 3


def test_where_all_elements_see_each_other_there_are_none():
    assert MLPF(random_network("exact", **SMALL), "exact").groups(random_elements([20])) == []


def test_the_strongest_edge_of_each_element():
    edges, strength = np.array([[0, 1], [1, 2], [0, 2], [2, 3]]), np.array([0.9, 0.2, 0.5, 0.1])
    np.testing.assert_array_equal(strongest(edges, strength), [[0, 1], [0, 2], [2, 3]])


def test_words_are_beside_the_event_and_not_over_it():
    elements = random_elements([100])
    columns = {"pt": elements["pt"], "eta": elements["eta"], "phi": elements["phi"], "pdgId": np.full(100, 211)}
    figure = of_event(Shown(elements, {"pf": columns}), "label")
    for ax in figure.axes[:2]:
        assert ax.get_ylim() == (-np.pi, np.pi)
        corner = ax.transAxes.inverted().transform(ax.get_legend().get_bbox_to_anchor().p0)
        assert corner[1] == pytest.approx(1)  # the legend begins where the axes end
