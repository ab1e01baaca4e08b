import numpy as np
import pytest

from ptmiss.calibration.laws import DEGREE, Basis, Law


def test_a_law_is_smooth_in_qt_and_stays_as_it_is_above_its_top():
    basis = Basis(100.0, 3)
    coefficients = np.zeros((5, len(basis.terms)))
    coefficients[:, 0], coefficients[0, 1], coefficients[2, DEGREE + 1] = [0, 1, 2, 0.5, 1], 4, 0.1
    law = Law(basis, coefficients, coefficients != 0, np.eye(np.count_nonzero(coefficients)))
    qt = np.linspace(0, 100, 201)
    means = law.at(qt, np.zeros(201, int)).mean
    assert np.all(np.diff(means) > 0)
    assert np.abs(np.diff(means)).max() < 0.2
    assert law.at([100.0], [0]).mean == pytest.approx(law.at([5000.0], [0]).mean)
    widths = law.at([30.0] * 3, [0, 1, 2]).widths[:, 0]
    np.testing.assert_allclose(widths, np.exp(2 + 0.1 * np.arange(3)))


def test_simple_terms_come_before_those_that_need_them():
    basis = Basis(100.0, 3)
    free = np.zeros((1, len(basis.terms)), bool)
    free[:, 0] = True
    found = [basis.terms[k] for k in np.flatnonzero(basis.open(free)[0])]
    assert found == [(1, 0), (0, 1)]
    free[:, basis.terms.index((1, 0))] = True
    found = [basis.terms[k] for k in np.flatnonzero(basis.open(free)[0])]
    assert found == [(2, 0), (0, 1)]
    free[:, basis.terms.index((0, 1))] = True
    assert (1, 1) in [basis.terms[k] for k in np.flatnonzero(basis.open(free)[0])]


def test_a_moved_law_moves_only_what_is_free():
    basis = Basis(50.0, 1)
    free = np.zeros((2, len(basis.terms)), bool)
    free[:, 0] = True
    law = Law(basis, np.where(free, 1.0, 0.0), free, np.eye(2))
    moved = law.move(np.array([2.0, 0.0]))
    assert moved.at([10.0], [0]).mean == pytest.approx(3.0)
    assert law.at([10.0], [0]).mean == pytest.approx(1.0)
