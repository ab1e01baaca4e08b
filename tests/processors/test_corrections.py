import numpy as np
import pytest

from ptmiss import corrections
from ptmiss.calibration import export
from ptmiss.errors import OptionError, UnknownName
from ptmiss.estimators import make_estimators
from ptmiss.processors.validation import Validation
from ptmiss.processors.zmumu import Zmumu
from ptmiss.runs import fileset, runner


def outputs(path, invented, **metadata):
    files = fileset.parse({"z": {"files": [str(invented)], "metadata": metadata}})
    return runner.run(files, Zmumu(make_estimators(["puppi"]), corrections=path), chunksize=100)[0]["z"]


def test_nominal_and_varied_histograms_in_one_pass(correction_file, invented):
    known = corrections.load(correction_file)
    out = outputs(correction_file, invented)
    for name in ("moments", "u_par", "u_perp", "met", "met_phi"):
        assert set(out[name].axes["systematic"]) == set(known.systematics("puppi"))
    raw = outputs(None, invented)
    (w, _, wx, _), (raw_w, _, raw_wx, _) = (np.moveaxis(o["met_xy"].values(), -1, 0) for o in (out, raw))
    np.testing.assert_allclose(
        wx * raw_w, raw_wx * w, rtol=1e-9, atol=1e-9
    )  # the same means: weights depend on nPV alone
    assert out["residuals"].sum(flow=True).value != 0
    widths = {
        name: out["u_perp"][{"systematic": name, "estimator": "puppi"}].values() for name in ("nominal", "stat_5")
    }
    assert not np.array_equal(widths["nominal"], widths["stat_5"])
    assert not np.array_equal(
        widths["nominal"], raw["u_perp"][{"systematic": "nominal", "estimator": "puppi"}].values()
    )


@pytest.mark.parametrize("metadata", [{"kind": "data"}, {"role": "background"}])
def test_data_and_backgrounds_are_not_varied(correction_file, invented, metadata):
    out = outputs(correction_file, invented, **metadata)
    assert list(out["met"].axes["systematic"]) == ["nominal"]


def test_processors_and_estimators_that_take_no_corrections(correction_file):
    with pytest.raises(UnknownName, match=r"estimator of .* 'pf'"):
        Zmumu(make_estimators(["pf"]), corrections=correction_file)
    with pytest.raises(OptionError, match="processor Validation takes no corrections"):
        runner.make_processor(Validation, {"estimators": make_estimators(["pf"]), "corrections": correction_file})
    assert export.SCHEMA == corrections.SCHEMA
