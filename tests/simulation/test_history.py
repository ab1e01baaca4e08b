from __future__ import annotations

import numpy as np

from ptmiss.simulation import history

PROMPT, TAU = history.IS_PROMPT, history.IS_PROMPT_TAU_PRODUCT


def _select(*rows):
    """Rows of (code, status, mother, first daughter, last daughter) of one event, the system's entry first."""
    table = np.array([(90, -11, 0, 0, 0), (2212, -12, 0, 0, 0), (2212, -12, 0, 0, 0), *rows])
    return history.select(*table.T, np.array([0, len(table)]))


def test_muons_of_a_z_are_prompt_and_point_to_it():
    keep, flags, mother = _select((23, -22, 1, 4, 4), (23, -62, 3, 5, 6), (13, 23, 4, 0, 0), (-13, 23, 4, 0, 0))
    assert keep.tolist() == [False] * 3 + [True] * 4
    assert mother[3:].tolist() == [-1, 0, 1, 1]
    assert all(flags[5:] & PROMPT)
    assert flags[4] & history.IS_LAST_COPY
    assert not flags[3] & history.IS_LAST_COPY
    assert all(flags[3:] & history.FROM_HARD_PROCESS)


def test_a_photon_from_a_muon_is_kept_and_one_from_a_pion_is_not():
    keep, flags, mother = _select(
        (13, -23, 1, 4, 5), (13, 51, 3, 0, 0), (22, 51, 3, 0, 0), (111, -83, 1, 7, 7), (22, 91, 6, 0, 0)
    )
    assert keep[3:].tolist() == [True, True, True, False, False]
    assert flags[5] & PROMPT
    assert mother[5] == 0


def test_leptons_of_a_tau_are_marked_and_those_of_a_hadron_are_not_prompt():
    keep, flags, mother = _select((15, -23, 1, 4, 4), (13, 91, 3, 0, 0), (521, -83, 1, 6, 6), (13, 91, 5, 0, 0))
    assert keep[3:].tolist() == [True, True, False, True]
    assert flags[4] & TAU
    assert flags[4] & history.DIRECT_HARD_TAU_PRODUCT
    assert not flags[4] & (PROMPT | history.FROM_HARD_PROCESS)
    assert not flags[6] & (history.HARD_TAU_PRODUCT | history.FROM_HARD_PROCESS)
    assert not flags[6] & (PROMPT | TAU)
    assert mother[[4, 6]].tolist() == [0, -1]


def test_what_a_tau_radiates_is_none_of_its_products():
    """A tau of the hard process radiates a photon, then decays to a pion, a neutrino and, by a pion, to photons."""
    rows = [(15, -23, 1, 4, 5), (15, -51, 3, 6, 8), (22, 51, 3, 0, 0), (16, 91, 4, 0, 0), (-211, 91, 4, 0, 0)]
    keep, flags, _ = _select(*rows, (111, -91, 4, 9, 9), (22, 91, 8, 0, 0))
    assert keep[3:].tolist() == [True, True, True, True, True, True, False]
    assert flags[4] & history.FROM_HARD_PROCESS
    assert flags[4] & history.IS_LAST_COPY
    assert flags[5] & PROMPT
    assert not flags[5] & (TAU | history.HARD_TAU_PRODUCT | history.FROM_HARD_PROCESS)
    assert all(flags[6:9] & history.DIRECT_HARD_TAU_PRODUCT)
    assert flags[9] & history.HARD_TAU_PRODUCT
    assert not flags[9] & history.DIRECT_HARD_TAU_PRODUCT


def test_a_tau_of_a_hadron_is_not_of_the_hard_process():
    _, flags, _ = _select((521, -83, 1, 4, 4), (-15, -91, 3, 5, 5), (-13, 91, 4, 0, 0))
    assert not any(flags[4:] & (PROMPT | TAU | history.HARD_TAU_PRODUCT | history.FROM_HARD_PROCESS))


def test_the_frozen_events_hold_two_prompt_muons(zmumu):
    kept = zmumu.history
    prompt = (np.abs(kept.pdg_id) == 13) & (kept.status == 1) & (kept.flags & PROMPT > 0)
    assert np.add.reduceat(prompt, kept.offsets[:-1]).tolist() == [2] * 10
