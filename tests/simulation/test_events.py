from __future__ import annotations

import numpy as np
import pytest

from ptmiss.candidates import puppi
from ptmiss.simulation import events, schema
from ptmiss.simulation.parameters import profile

WRITTEN = schema.collections(("PFElement", "PFElementTarget", "PSWeight"))


def test_columns_are_the_schema(block_columns):
    expected = [
        name for c in WRITTEN for name in ([f"n{c.name}"] if c.many else []) + [c.branch_name(b) for b in c.branches]
    ]
    assert list(block_columns) == expected


def test_flat_columns_have_the_length_of_their_counts(block_columns):
    for collection in WRITTEN:
        for branch in collection.branches:
            column = block_columns[collection.branch_name(branch)]
            assert len(column) == (block_columns[f"n{collection.name}"].sum() if collection.many else 10)
            assert column.dtype == branch.dtype
            assert np.isfinite(column).all()


def test_only_the_first_events_carry_elements(block_columns):
    assert (block_columns["nPFElement"] > 0).tolist() == [True] * 4 + [False] * 6
    assert np.array_equal(block_columns["nPFElement"], block_columns["nPFElementTarget"])


def test_met_is_minus_the_sum_of_the_candidates(block_columns):
    event = np.repeat(np.arange(10), block_columns["nPFCands"])
    pt, phi = (block_columns[f"PFCands_{name}"].astype(float) for name in ("pt", "phi"))
    for name, weight in (("MET", 1.0), ("PuppiMET", block_columns["PFCands_puppiWeight"])):
        total = np.bincount(event, weight * pt * np.exp(1j * phi).real) + 1j * np.bincount(
            event, weight * pt * np.sin(phi)
        )
        stored = block_columns[f"{name}_pt"] * np.exp(1j * block_columns[f"{name}_phi"])
        assert np.abs(stored + total).max() < 0.5


def test_weights_can_be_made_again_from_the_stored_candidates(block_columns):
    names = ("pt", "eta", "phi", "charge", "fromPV", "dz", "puppiWeight")
    pt, eta, phi, charge, from_pv, dz, stored = (block_columns[f"PFCands_{name}"] for name in names)
    offsets = np.concatenate([[0], np.cumsum(block_columns["nPFCands"])])
    again = puppi.weights(
        pt, eta, phi, puppi.charged_origin(charge, from_pv, dz), offsets, block_columns["PV_npvsGood"]
    )
    assert np.mean(np.abs(again - stored) < 0.05) > 0.98


def test_neutrals_are_from_the_primary_vertex_without_impact_parameter(block_columns):
    neutral = block_columns["PFCands_charge"] == 0
    assert set(block_columns["PFCands_fromPV"][neutral]) == {3}
    assert not block_columns["PFCands_d0"][neutral].any()
    assert not block_columns["PFCands_dz"][neutral].any()


def test_z_events_have_their_muons(block_columns):
    hard = block_columns["Muon_pt"] > 20
    event = np.repeat(np.arange(10), block_columns["nMuon"])
    assert np.bincount(event[hard], minlength=10).mean() > 1
    assert np.median(block_columns["Muon_pfRelIso04_all"][hard]) < 0.15
    assert block_columns["GenMET_pt"].max() < 20


def test_the_generated_record_is_linked(block_columns):
    mother, counts = block_columns["GenPart_genPartIdxMother"], block_columns["nGenPart"]
    row = np.arange(len(mother)) - np.repeat(np.cumsum(counts) - counts, counts)
    assert np.all(mother < row)
    assert mother.min() == -1
    assert set(np.abs(block_columns["GenPart_pdgId"])) & {13, 23} == {13, 23}


def test_event_numbers_go_up(block_columns):
    assert block_columns["event"].tolist() == list(range(1, 11))
    assert set(block_columns["run"]) == {1}
    assert set(block_columns["luminosityBlock"]) == {1}


def test_sections_have_ten_events_and_runs_of_pseudo_data_a_hundred_sections(zmumu):
    block = events.Block(4, 995, 10, np.random.SeedSequence(1), 0)
    mc, data = (events._numbers(block, profile(name), zmumu) for name in ("mc", "data"))
    assert mc["luminosityBlock"].tolist() == [100] * 5 + [101] * 5
    assert data["run"].tolist() == [360_000] * 5 + [360_001] * 5
    assert data["luminosityBlock"].tolist() == [100] * 5 + [1] * 5


def test_jets_point_to_generated_ones(block_columns):
    index, counts = block_columns["Jet_genJetIdx"], block_columns["nJet"]
    limit = np.repeat(block_columns["nGenJet"], counts)
    assert np.all((index >= -1) & (index < limit))
    assert block_columns["Jet_pt"].min() == pytest.approx(15, abs=5)
