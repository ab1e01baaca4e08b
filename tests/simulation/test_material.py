import numpy as np
import pytest

from ptmiss.simulation import material


def test_layers_share_the_whole_budget():
    assert len(material.SHARES) == material.LAYERS == len(material.HALF_LENGTHS)
    assert material.SHARES.sum() == pytest.approx(1)
    assert material.budget(np.array([0.0, 1.4, -1.4, 2.5])) == pytest.approx([0.4, 2.0, 2.0, 1.4])


@pytest.mark.parametrize("thickness", [0.4, 2.0])
def test_the_mean_loss_is_that_of_bethe_and_heitler(thickness):
    """1 - exp(-t): a third behind 0.4 radiation lengths, 86 % behind 2."""
    rng, n = np.random.default_rng(1), 100_000
    once = material.kept_fraction(np.full(n, thickness), rng)
    often = np.prod([material.kept_fraction(np.full(n, thickness * share), rng) for share in material.SHARES], axis=0)
    for kept in (once, often):
        assert 1 - kept.mean() == pytest.approx(1 - np.exp(-thickness), abs=0.004)
    assert np.quantile(once, [0.2, 0.5, 0.8]) == pytest.approx(np.quantile(often, [0.2, 0.5, 0.8]), abs=0.015)


def test_photons_convert_in_nine_sevenths_of_a_radiation_length():
    rng = np.random.default_rng(2)
    assert material.converts(np.full(100_000, 1.0), rng).mean() == pytest.approx(1 - np.exp(-7 / 9), abs=0.006)
    assert not material.converts(np.zeros(100), rng).any()


def test_a_pair_shares_the_energy_evenly_in_the_mean():
    share = material.pair_share(100_000, np.random.default_rng(3))
    assert share.mean() == pytest.approx(0.5, abs=0.004)
    assert np.mean(share**2) == pytest.approx((1 / 3 - 4 / 3 * (1 / 4 - 1 / 5)) * 9 / 7, abs=0.004)
