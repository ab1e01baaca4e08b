import gzip
import json
import pickle

import correctionlib
import numpy as np
import pytest

from ptmiss import corrections
from ptmiss.calibration import export, sources
from ptmiss.calibration.preparation import Preparation
from ptmiss.errors import CorrectionError, FileError, UnknownName
from ptmiss.recoil import met_from_recoil, recoil

from ..calibration import toys

ONE = np.ones(1)


@pytest.fixture
def events(tables):
    return {name: sources.read(str(tables[name])).events for name in ("data", "mc")}


def arguments(events):
    return events.met("puppi"), events.vector("boson"), events["npv"], events["njets"]


def test_means_and_widths_of_simulation_become_those_of_data(applied, events):
    met = applied.met("puppi", *arguments(events["mc"]))
    u = recoil(events["mc"].vector("boson"), met)
    weight = applied.weight(events["mc"]["npv"])
    for residual, law in ((u.u_par - u.qt, toys.DATA["par"]), (u.u_perp, toys.DATA["perp"])):
        mean = np.average(residual, weights=weight)
        assert mean == pytest.approx(law.mean, abs=0.6)
        assert np.sqrt(np.average((residual - mean) ** 2, weights=weight)) == pytest.approx(law.rms, rel=0.04)


def test_data_lose_their_mean_and_no_more(applied, events):
    met, boson, npv, njets = arguments(events["data"])
    after = applied.met("puppi", met, boson, npv, njets, "data")
    np.testing.assert_allclose(met - after, applied.shift("puppi", npv, "data"), atol=1e-9)
    assert np.abs(after.mean(axis=0)).max() < np.abs(met.mean(axis=0)).max() / 3


def test_a_background_loses_the_mean_of_simulation(applied, events):
    met, boson, npv, njets = arguments(events["mc"])
    after = applied.met("puppi", met, np.full_like(boson, np.nan), npv, njets, "background")
    np.testing.assert_allclose(met - after, applied.shift("puppi", npv, "mc"), atol=1e-9)


def test_events_without_a_boson_lose_the_mean_and_are_not_mapped(applied, events):
    met, boson, npv, njets = (part[:5].copy() for part in arguments(events["mc"]))
    met[1], boson[3] = np.nan, np.nan
    after = applied.met("puppi", met, boson, npv, njets, systematic=applied.systematics("puppi")[-1])
    assert np.isnan(after[1]).all()
    np.testing.assert_array_equal(after[3], met[3] - applied.shift("puppi", npv[3:4], "mc")[0])
    assert np.isfinite(after[[0, 2, 4]]).all()


def test_the_mean_is_taken_off_before_the_recoil_is_mapped(applied, events):
    met, boson, npv, njets = arguments(events["mc"])
    centred = met - applied.shift("puppi", npv, "mc")
    u = recoil(boson, centred)
    mapped = [applied.u("puppi", c, u.qt, njets, getattr(u, f"u_{c}")) for c in ("par", "perp")]
    after = applied.met("puppi", met, boson, npv, njets)
    np.testing.assert_allclose(after, met_from_recoil(*mapped, boson), atol=1e-9)


def test_lines_alone_are_corrections_without_a_map(calibration, events, tmp_path):
    """What a calibration of runs begins with; with pile-up weights or without."""
    for pileup in (calibration.preparation.pileup, None):
        path = tmp_path / f"{pileup is None}.json"
        first = Preparation(calibration.preparation.shifts, pileup)
        path.write_bytes(export.compress(export.preparation_set(first, {})))
        found = corrections.load(path)
        assert not found.maps
        assert found.systematics("puppi") == ["nominal"]
        met, boson, npv, njets = arguments(events["mc"])
        np.testing.assert_allclose(
            found.met("puppi", met, boson, npv, njets), met - first.shifts["mc"]["puppi"](npv), atol=1e-6
        )
        np.testing.assert_allclose(found.weight(npv), pileup(npv) if pileup else 1.0)
        assert json.loads(json.dumps(found.record)) == {
            "path": str(path), "sha256": found.sha256, "maps": False, **first.record
        }  # fmt: skip


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (([np.nan], [0], [1.0]), "1 of 1 values of qt cannot be corrected: the first, of event 0, is nan"),
        (([5, -1], [0, 0], [1.0, 1.0]), "the first, of event 1, is -1, expected a number from 0"),
        (([5], [0.5], [1.0]), "njets .* is 0.5, expected an integer from 0"),
        (([5], [-1], [1.0]), "njets .* is -1"),
        (([5], [0], [np.inf]), "values of u .* is inf, expected a number"),
    ],
)
def test_what_cannot_be_corrected_is_told_before_correctionlib_maps_it(applied, values, message):
    with pytest.raises(CorrectionError, match=message):
        applied.u("puppi", "par", *values)


def test_unknown_names(applied):
    with pytest.raises(UnknownName, match=r"estimator of .* 'pupi', did you mean 'puppi'"):
        applied.u("pupi", "par", ONE, ONE, ONE)
    with pytest.raises(UnknownName, match=r"systematic of .* 'stat_99'"):
        applied.u("puppi", "par", ONE, ONE, ONE, "stat_99")
    with pytest.raises(UnknownName, match="unknown sample 'simulation'"):
        applied.shift("puppi", ONE, "simulation")
    with pytest.raises(CorrectionError, match="values of npv"):
        applied.weight(-ONE)


def test_above_the_range_the_last_bin_counts(applied):
    at, above = (applied.u("puppi", "par", qt * ONE, 12 * ONE, qt + 5 * ONE) - qt for qt in (999.0, 4000.0))
    np.testing.assert_allclose(at, above, atol=1e-9)


def test_responses(applied):
    plateau = applied.response("puppi", np.array([5.0, 300.0]), "mc")
    assert plateau[0] == plateau[1]
    assert applied.response("puppi", ONE, "data", "bin") == 1
    assert applied.response("puppi", 50 * ONE, "data", "bin") < applied.response("puppi", 50 * ONE, "mc", "bin")


def test_plain_correctionlib_without_this_package(correction_file, applied):
    """The example in docs/calibration.md."""
    import correctionlib

    cset = correctionlib.CorrectionSet.from_file(str(correction_file))
    qt, njets, u_par = np.array([12.0, 45.0]), np.array([0, 1]), np.array([8.0, 50.0])
    corrected = cset["puppi_u_par"].evaluate(qt, njets, u_par, "nominal")
    np.testing.assert_array_equal(corrected, applied.u("puppi", "par", qt, njets, u_par))


def test_corrections_travel_to_workers(applied):
    again = pickle.loads(pickle.dumps(applied))
    assert again.u("puppi", "par", 20 * ONE, ONE, ONE) == applied.u("puppi", "par", 20 * ONE, ONE, ONE)


def test_files_of_other_kinds_are_one_clear_line(tmp_path):
    def written(content, name="c.json"):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
        return path

    with pytest.raises(FileError, match="no such correction file"):
        corrections.load(tmp_path / "nothing")
    for broken in (b"hello", gzip.compress(b"{")[:-3], b"[1]", {"corrections": []}):
        with pytest.raises(CorrectionError, match="is not a correction file: expected correctionlib JSON"):
            corrections.load(written(broken))
    with pytest.raises(CorrectionError, match="has correctionlib schema 1, expected 2"):
        corrections.load(written({"schema_version": 1, "corrections": []}))
    with pytest.raises(CorrectionError, match="holds corrections, but not of ptmiss calibrate"):
        corrections.load(written({"schema_version": 2, "description": "jets", "corrections": []}))
    with pytest.raises(CorrectionError, match="schema ptmiss-calibration-0, expected ptmiss-calibration-2"):
        corrections.load(
            written({"schema_version": 2, "description": '{"schema": "ptmiss-calibration-0"}', "corrections": []})
        )


def test_without_weights_of_the_vertices_every_weight_is_one():
    number = {"name": "x", "type": "real"}
    other = {"name": "other", "version": 1, "inputs": [number], "output": number, "data": 2.0}
    text = json.dumps({"schema_version": 2, "corrections": [other]})
    alone = corrections.Corrections("a.json", "", {}, correctionlib.CorrectionSet.from_string(text))
    np.testing.assert_array_equal(alone.weight([3, 40]), 1.0)


def test_a_changed_digit_is_noticed(correction_file, tmp_path):
    content = json.loads(gzip.decompress(correction_file.read_bytes()))
    assert corrections.load(correction_file).metadata["corrections_sha256"]
    (weights,) = (each for each in content["corrections"] if each["name"] == "npv_weight")
    weights["data"]["content"][3] *= 1.1
    (tmp_path / "c.json").write_text(json.dumps(content))
    with pytest.raises(CorrectionError, match=r"c\.json was changed after it was written"):
        corrections.load(tmp_path / "c.json")
