import awkward as ak
import numpy as np
import pytest

from ptmiss import corrections
from ptmiss.calibration import export
from ptmiss.errors import OptionError, UnknownName
from ptmiss.estimators import make_estimators
from ptmiss.events import inspect
from ptmiss.processors.boson import Zmumu
from ptmiss.processors.neutrino import Wmunu
from ptmiss.processors.validation import Validation
from ptmiss.runs import fileset, runner


def outputs(path, invented, **metadata):
    metadata = metadata or {"role": "signal"}
    files = fileset.parse({"z": {"files": [str(invented)], "metadata": metadata}})
    return runner.run(files, Zmumu(make_estimators(["puppi"]), corrections=path), chunksize=100)[0]["z"]


@pytest.mark.slow
def test_nominal_and_varied_histograms_in_one_pass(correction_file, invented):
    known = corrections.load(correction_file)
    out = outputs(correction_file, invented)
    for name in ("moments", "u_par", "u_perp", "met", "met_phi"):
        assert set(out[name].axes["systematic"]) == set(known.systematics("puppi"))
    raw = outputs(None, invented)
    (w, _, wx, *_), (raw_w, _, raw_wx, *_) = (np.moveaxis(o["met_xy"].values(), -1, 0) for o in (out, raw))
    np.testing.assert_allclose(
        wx * raw_w, raw_wx * w, rtol=1e-9, atol=1e-9
    )  # the same means: weights depend on nPV alone
    assert out["residuals"].sum(flow=True).value != 0
    sums = {name: out["moments"][{"systematic": name}].values() for name in ("nominal", "stat_3", "stat_20")}
    assert not np.array_equal(sums["nominal"], sums["stat_3"])
    assert not np.array_equal(sums["nominal"], sums["stat_20"])
    widths = {"nominal": out["u_perp"][{"systematic": "nominal", "estimator": "puppi"}].values()}
    assert not np.array_equal(
        widths["nominal"], raw["u_perp"][{"systematic": "nominal", "estimator": "puppi"}].values()
    )


@pytest.mark.parametrize("metadata", [{"kind": "data", "pseudo_data": True}, {"role": "background"}])
def test_data_and_backgrounds_are_not_varied(correction_file, invented, metadata):
    out = outputs(correction_file, invented, **metadata)
    assert list(out["met"].axes["systematic"]) == ["nominal"]


def test_what_decides_how_events_are_corrected_has_no_default(correction_file, invented, tmp_path):
    """Data taken for simulation, or top pairs for the signal, would be mapped without a word."""
    with pytest.raises(
        OptionError, match=r"--corrections need a role of dataset 'z' in its metadata: 'signal', .* or 'b"
    ):
        outputs(correction_file, invented, kind="mc")
    processor = Zmumu(make_estimators(["puppi"]), corrections=correction_file)
    there = inspect(str(invented)).branches
    with pytest.raises(OptionError, match="--corrections need a kind of dataset 'z' in its metadata: 'data' or 'mc'"):
        processor.require(there, str(invented), {"dataset": "z", "kind": None, "role": "signal"})
    Zmumu(make_estimators(["puppi"])).require(there, str(invented), {"dataset": "z", "kind": None})


def test_simulated_events_without_a_boson_get_xy_all_the_same(correction_file, invented):
    """The events have no generated particles, as those of other processes have no single boson."""
    source = inspect(str(invented)).events()
    source.metadata.update({"kind": "mc", "role": "signal"})
    one = ak.with_field(source, source.Muon[:, :1], "Muon")
    plain, corrected = (
        Wmunu(make_estimators(["puppi"]), corrections=path).process(one) for path in (None, correction_file)
    )
    known = corrections.load(correction_file)
    expected, npv = known.shift("puppi", ak.to_numpy(source.PV.npvs), "mc"), ak.to_numpy(source.PV.npvs)
    met = Wmunu(make_estimators(["puppi"]), corrections=correction_file)
    nowhere = np.full_like(expected, np.nan)
    for name, vector in met.variations(one, "puppi", {"nominal": 0 * expected}, lambda _: (nowhere, nowhere), npv, npv):
        np.testing.assert_allclose(vector, -expected, err_msg=name)
    number = corrected["cutflow"]["events"]["one muon"]
    assert list(corrected["notes"].values()) == list(plain["notes"].values()) == [number, len(source)]
    assert corrected["met"][{"systematic": "nominal"}].sum(flow=True).value == pytest.approx(
        corrected["cutflow"]["sum of weights"]["one muon"]
    )
    assert not np.array_equal(
        corrected["met_phi"][{"systematic": "nominal"}].values(), plain["met_phi"][0, ...].values()
    )


def test_processors_and_estimators_that_take_no_corrections(correction_file):
    with pytest.raises(UnknownName, match=r"estimator of .* 'pf'"):
        Zmumu(make_estimators(["pf"]), corrections=correction_file)
    with pytest.raises(OptionError, match="processor Validation has no option corrections"):
        runner.make_processor(Validation, {"estimators": make_estimators(["pf"]), "corrections": correction_file})
    assert export.SCHEMA == corrections.SCHEMA
