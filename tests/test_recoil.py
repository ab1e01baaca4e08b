import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ptmiss.recoil import (
    azimuth,
    cartesian,
    direction,
    magnitude,
    met_from_recoil,
    project,
    recoil,
    transverse_mass,
)

component = st.floats(-1e3, 1e3).filter(lambda x: x == 0 or abs(x) > 1e-6)
vectors = st.tuples(component, component).map(lambda xy: np.array([xy]))
angles = st.floats(-np.pi, np.pi)


def turned(vector, angle):
    rotation = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return vector @ rotation.T


def test_by_hand():
    # V along x with 50 GeV, pTmiss 10 GeV along y: u = (-50, -10), t = (-1, 0)
    u = recoil(np.array([[50.0, 0.0]]), np.array([[0.0, 10.0]]))
    assert (u.u_par, u.u_perp, u.qt) == (50, 10, 50)


@given(vectors)
def test_a_perfect_recoil_is_qt_along_and_nothing_across(boson):
    u = recoil(boson, np.zeros_like(boson))
    np.testing.assert_allclose(u.u_par, u.qt)
    np.testing.assert_allclose(u.u_perp, 0, atol=1e-9)


@given(vectors, vectors, angles)
def test_rotation_of_the_event_changes_nothing(boson, met, angle):
    for before, after in zip(recoil(boson, met), recoil(turned(boson, angle), turned(met, angle)), strict=True):
        if magnitude(boson) > 0:
            np.testing.assert_allclose(after, before, atol=1e-8)


@given(vectors, vectors)
def test_inverse_gives_pt_miss_back(boson, met):
    u = recoil(boson, met)
    np.testing.assert_allclose(met_from_recoil(u.u_par, u.u_perp, boson), met, atol=1e-9)


@given(vectors, vectors)
def test_components_keep_the_length(boson, met):
    u = recoil(boson, met)
    np.testing.assert_allclose(np.hypot(u.u_par, u.u_perp), magnitude(boson + met), atol=1e-8)


@given(vectors, vectors)
def test_mirror_image_changes_the_sign_of_u_perp_alone(boson, met):
    mirror = np.array([1.0, -1.0])
    a, b = recoil(boson, met), recoil(boson * mirror, met * mirror)
    np.testing.assert_allclose(b.u_par, a.u_par, atol=1e-8)
    if magnitude(boson) > 0:
        np.testing.assert_allclose(b.u_perp, -a.u_perp, atol=1e-8)


def test_definition_of_u_perp():
    rng = np.random.default_rng(0)
    boson, met = rng.normal(0, 30, (2, 50, 2))
    u = -(boson + met)
    t = -boson / np.linalg.norm(boson, axis=1, keepdims=True)
    np.testing.assert_allclose(recoil(boson, met).u_perp, -u[:, 0] * t[:, 1] + u[:, 1] * t[:, 0])


def test_a_boson_at_rest_has_a_direction_all_the_same():
    u = recoil(np.zeros((1, 2)), np.array([[3.0, 4.0]]))
    assert np.isfinite(u.u_par).all()
    assert np.isfinite(u.u_perp).all()
    np.testing.assert_array_equal(direction(np.zeros((2, 2))), [[1, 0], [1, 0]])


@given(vectors)
def test_cartesian_and_polar_are_inverse(vector):
    np.testing.assert_allclose(cartesian(magnitude(vector), azimuth(vector)), vector, atol=1e-9)


@given(vectors, vectors)
def test_transverse_mass_is_real_symmetric_and_the_textbook_formula(lepton, met):
    mt = transverse_mass(lepton, met)
    assert np.isfinite(mt).all()
    np.testing.assert_array_equal(mt, transverse_mass(met, lepton))
    cosine = np.cos(azimuth(lepton) - azimuth(met))
    np.testing.assert_allclose(mt**2, 2 * magnitude(lepton) * magnitude(met) * (1 - cosine), atol=1e-3)


@given(vectors, st.floats(0, 10))
def test_transverse_mass_of_parallel_vectors_is_zero_whatever_the_rounding(lepton, scale):
    assert transverse_mass(lepton, scale * lepton) == pytest.approx(0, abs=2e-4)


@given(vectors)
def test_projection_on_itself(vector):
    along, across = project(vector, vector)
    np.testing.assert_allclose(along, magnitude(vector), atol=1e-9)
    np.testing.assert_allclose(across, 0, atol=1e-9)


@given(vectors, vectors, vectors)
def test_the_neutrino_is_no_part_of_what_recoils(boson, neutrino, smearing):
    """In W → lv pTmiss holds the neutrino: a perfect one leaves a recoil of -V, and errors of pTmiss go into it."""
    lepton = boson - neutrino
    u = recoil(boson, neutrino + smearing, lepton)
    expected = recoil(boson, smearing)
    np.testing.assert_allclose(u, expected, atol=1e-6)
    np.testing.assert_allclose(met_from_recoil(u.u_par, u.u_perp, boson, lepton), neutrino + smearing, atol=1e-6)
