from __future__ import annotations

import numpy as np
import pytest

from ptmiss import elements
from ptmiss.simulation import contents, output


@pytest.fixture(scope="module")
def sample(block_columns, tmp_path_factory):
    """Ten Z events twenty times over."""
    folder = tmp_path_factory.mktemp("contents")
    output.save_block(block_columns, folder / "block.parquet")
    output.write([folder / "block.parquet"] * 20, folder / "zmumu.root", "ttree", {})
    return folder / "zmumu.root"


def test_composition_counts_every_candidate(sample, block_columns):
    table = contents.composition(sample)
    assert table.number.sum() == pytest.approx(len(block_columns["PFCands_pt"]) / 10)
    assert table.sum_pt.sum() == pytest.approx(block_columns["PFCands_pt"].sum() / 10, rel=1e-4)
    split = contents.composition(sample, contents.ETA_EDGES).groupby("type").number.sum()
    assert split["photon"] == pytest.approx(table.set_index("type").number["photon"])


def test_accounting_has_every_element_type(sample):
    table = contents.accounting(sample)
    assert table.element.tolist() == list(elements.TYPES.values())
    assert (table.without_target < 0.6).all()


def test_spectra_count_each_candidate_once(sample, block_columns):
    table = contents.spectra(sample)
    in_eta = table[table.quantity == "eta"].groupby("type").number.sum()
    photons = np.abs(block_columns["PFCands_pdgId"]) == 22
    inside = np.abs(block_columns["PFCands_eta"][photons]) <= 5.2
    assert in_eta["photon"] == pytest.approx(inside.sum() / 10)
    assert (table.number_error <= table.number + 1e-12).all()
    figure = contents.draw_spectra({"one": table, "other": table})
    assert len(figure.axes) == 10
    assert [text.get_text() for text in figure.axes[0].get_legend().get_texts()] == ["one", "other"]


def test_the_response_of_jets_is_a_ratio(sample):
    table = contents.jet_response(sample)
    assert set(table.region) <= {"centre", "endcap"}
    assert (table.jets >= contents.MIN_JETS).all()
    assert table.response.between(0.5, 1.5).all()


def test_quantiles_have_the_errors_that_samples_show():
    samples = np.random.default_rng(1).normal(2.0, 0.5, (400, 500))
    rows = [contents.quantiles("x", values) for values in samples]
    for name, error in (("x", rows[0]["x_error"]), ("half_width", rows[0]["half_width_error"])):
        found = np.asarray([row[name] for row in rows])
        assert found.mean() == pytest.approx({"x": 2.0, "half_width": 0.5}[name], rel=0.02)
        assert found.std() == pytest.approx(error, rel=0.15)
    relative = contents.quantiles("x", samples[0], relative=True)
    assert relative["half_width"] == pytest.approx(rows[0]["half_width"] / rows[0]["x"])
