import numpy as np
import pytest

from ptmiss.calibration.gaussians import Counts, fit
from ptmiss.calibration.quantile_corrections import STATISTICAL, statistical
from ptmiss.calibration.quantiles import exact, quantile_map

from . import toys

U = np.array([-30.0, -15.0, -4.0, 5.0, 20.0])
SIGNS = np.ones(len(STATISTICAL), int)


def derived(mc: Counts, data: Counts):
    """The map at U and its statistical error."""
    of_mc, of_data = fit(mc), fit(data)
    nominal = quantile_map(of_mc.law, of_data.law)
    varied = statistical(of_mc, of_data, nominal, SIGNS)
    return nominal(U), np.sqrt(sum((part(U) - nominal(U)) ** 2 for part in varied))


def pulls(toys_count: int, events: int):
    rng = np.random.default_rng(7)
    truth = exact(toys.MC["par"], toys.DATA["par"], U)
    found = [
        derived(toys.counts(toys.MC["par"], events, rng), toys.counts(toys.DATA["par"], events, rng, events // 50))
        for _ in range(toys_count)
    ]
    values, errors = (np.array(part) for part in zip(*found, strict=True))
    return values - truth, errors


def test_the_map_of_known_gaussians_is_found_within_its_error():
    shifts, errors = pulls(12, 20_000)
    widths = (shifts / errors).std(axis=0)
    assert np.all((widths > 0.5) & (widths < 1.6)), widths
    assert np.all(np.abs(shifts.mean(axis=0)) < 0.05 + 1.5 * errors.mean(axis=0) / np.sqrt(12) * 2)


@pytest.mark.slow
def test_pulls_of_the_map_have_a_width_near_one():
    shifts, errors = pulls(150, 5000)
    np.testing.assert_allclose((shifts / errors).std(axis=0), 1, atol=0.25)
    assert np.all(np.abs((shifts / errors).mean(axis=0)) < 0.35)


def test_with_many_events_the_map_is_found_to_50_mev():
    rng, many = np.random.default_rng(9), 3_000_000
    data = toys.counts(toys.DATA["par"], many, rng, many // 50, simulated=1)
    values, errors = derived(toys.counts(toys.MC["par"], many, rng), data)
    shifts = values - exact(toys.MC["par"], toys.DATA["par"], U)
    assert np.all(np.abs(shifts) < 0.05), shifts
    assert np.all(errors < 0.05), errors


@pytest.mark.slow
def test_a_bootstrap_gives_the_statistical_errors():
    rng = np.random.default_rng(8)
    mc, data = (toys.counts(laws["par"], 20_000, rng) for laws in (toys.MC, toys.DATA))
    error = derived(mc, data)[1]

    def replica(counts: Counts) -> Counts:
        values = rng.poisson(counts.values).astype(float)
        return Counts(values, values.copy(), counts.edges)

    spread = np.std([derived(replica(mc), replica(data))[0] for _ in range(60)], axis=0)
    np.testing.assert_allclose(error, spread, rtol=0.35)


def test_every_variation_is_there_and_says_something(calibration):
    for derivation in calibration.derivations.values():
        assert {"nominal", "smoothing", "gaussians", "njets_inclusive", "background_up", "background_down"} < set(
            derivation.maps
        )
        for number in range(len(derivation.cells)):
            effects = derivation.effects(number)
            mean, rms = effects["nominal"]
            assert mean == pytest.approx(derivation.fits["data"][number].law.mean, abs=0.02)
            assert rms == pytest.approx(derivation.fits["data"][number].law.rms, rel=0.005)
            assert any(abs(effects[name][0] - mean) > 0.01 for name in STATISTICAL)
            assert effects["background_up"][1] < rms < effects["background_down"][1]
            shift, stretch = derivation.uncertainty(number)[1:]
            assert 0.05 < shift < 1
            assert 0.002 < stretch < 0.1
