"""What a whole calibration does not depend on."""

from dataclasses import replace

import numpy as np
import pytest

from ptmiss import table
from ptmiss.calibration import calibrate, sources
from ptmiss.errors import OptionError
from ptmiss.recoil import azimuth, magnitude

from . import toys

X = np.linspace(-40, 40, 9)


@pytest.fixture(scope="module")
def samples(tmp_path_factory):
    """Data and simulation with two estimators, the second half of the first."""
    directory, rng, out = tmp_path_factory.mktemp("two"), np.random.default_rng(2), []
    for sample in ("data", "mc"):
        columns = toys.columns(toys.DATA if sample == "data" else toys.MC, 4000, sample, rng)
        half = 0.5 * np.stack([columns["met_puppi_pt"] * f(columns["met_puppi_phi"]) for f in (np.cos, np.sin)], axis=1)
        columns |= table.polar("met_half", half)
        out.append(sources.read(str(toys.write(directory / f"{sample}.parquet", columns))))
    return out


def shifts(samples, order, workers=1):
    """Numbers of each estimator's calibration, by name."""
    found = calibrate.derive(*samples, [], order, minimum=2000, workers=workers)
    out = {
        name: [d.map(v, 20.0, 0, X) for v in ("nominal", "smoothing", "stat_0")]
        for name, d in found.derivations.items()
    }
    npv = np.arange(1, 60)
    for sample, by in found.preparation.shifts.items():
        out |= {f"{sample} {name}": [shift(npv)] for name, shift in by.items()}
    return out


@pytest.fixture(scope="module")
def expected(samples):
    return shifts(samples, ["puppi", "half"])


def equal(found, expected, names):
    for name in names:
        for one, other in zip(found[name], expected[name], strict=True):
            np.testing.assert_array_equal(one, other, err_msg=name)


@pytest.mark.slow
def test_the_order_of_estimators_and_the_number_of_processes_change_nothing(samples, expected):
    equal(shifts(samples, ["half", "puppi"], workers=2), expected, expected)


def test_weights_that_cancel_are_one_line_that_names_the_sample(samples):
    data, mc = samples
    rows = mc.events.data
    signs = np.where(np.arange(len(rows)) % 2, 1.0, -1.0)
    cancelled = replace(mc.events, data=rows.set_column(rows.column_names.index("weight"), "weight", [signs]))
    with pytest.raises(OptionError, match=r"XY of puppi x of .*mc\.parquet: .* weights that do not cancel"):
        shifts([data, replace(mc, table=cancelled)], ["puppi"])


def test_what_one_estimator_lacks_changes_no_other(samples, expected):
    """An estimator without a finite pTmiss in some events is calibrated with the others that it has."""
    broken = []
    for sample in samples:
        met = sample.events.met("half").copy()
        met[::10] = np.nan
        data = sample.events.data
        for part, values in (("pt", magnitude(met)), ("phi", azimuth(met))):
            name = f"met_half_{part}"
            data = data.set_column(data.column_names.index(name), name, [values.astype(np.float32)])
        broken.append(replace(sample, table=replace(sample.events, data=data)))
    found = shifts(broken, ["puppi", "half"])
    equal(found, expected, [name for name in expected if "puppi" in name])
    fewer = [replace(s, table=s.events.select(np.arange(len(s.events)) % 10 > 0)) for s in broken]
    equal(shifts(fewer, ["half"]), found, ["mc half", "data half"])
