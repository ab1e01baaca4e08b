"""The embedded sample is there, and is what its card says."""

import awkward as ak
import numpy as np
import pytest

from ptmiss import events, sample, table
from ptmiss.data.production import DATA_TTBAR, EVENT_FILES, TABLES
from ptmiss.errors import UnknownName
from ptmiss.estimators import evaluate, make_estimators
from ptmiss.recoil import recoil
from ptmiss.selections import sections
from ptmiss.selections.quality import certified
from ptmiss.simulation.events import FIRST_RUN, SECTION, SECTIONS

SHOWN = list(EVENT_FILES)


@pytest.mark.parametrize("name", SHOWN)
def test_event_files(name):
    made_of = EVENT_FILES[name]
    source = events.inspect(str(sample.events(name))).events()
    assert len(source) == made_of.events
    counts = ak.to_numpy(ak.num(source.PFCands.pt))
    assert 300 < counts.mean() < 4000
    assert ("PSWeight" in source.fields) == made_of.shower_weights
    if made_of.elements:
        elements = ak.to_numpy(ak.num(source.PFElement.pt))
        assert (elements[: made_of.elements] > 100).all()
        assert (elements[made_of.elements :] == 0).all()


@pytest.mark.parametrize(("name", "kind", "share"), [("zee", "Electron", 0.5), ("gammajet", "Photon", 0.6)])
def test_electrons_and_photons_are_identified_isolated_and_trigger(name, kind, share):
    source = events.inspect(str(sample.events(name))).events()
    found, least, number = source[kind], {"Electron": 3, "Photon": 3}[kind], {"Electron": 2, "Photon": 1}[kind]
    tight = found[(found.cutBased >= least) & (found.pt > 25)]
    assert np.mean(ak.num(tight) == number) > share
    assert ak.mean(tight.pfRelIso03_all < 0.15) > 0.9
    path = {"Electron": "Ele32_WPTight_Gsf", "Photon": "Photon50"}[kind]
    fired = source.HLT[path]
    assert ak.all(ak.max(found.pt, axis=1)[fired] > {"Electron": 32, "Photon": 50}[kind] - 0.5)
    assert 0.3 < ak.mean(fired) < 1


@pytest.mark.parametrize("name", SHOWN)
def test_noise_filters_and_sums_of_runs(name):
    file = events.inspect(str(sample.events(name)))
    flags = file.events().Flag
    assert len(flags.fields) == 10
    assert all(ak.mean(flags[field]) > 0.9 for field in flags.fields)
    if name == "data":
        assert (file.generated, file.recorded) == (None, True)
    else:
        assert file.generated.events == EVENT_FILES[name].events


def test_a_golden_json_leaves_out_sections_of_the_pseudo_data():
    source = events.inspect(str(sample.events("data"))).events()
    kept = certified(source, str(sample.golden_json()))
    assert sorted(set(ak.to_numpy(source.luminosityBlock)[~kept].tolist())) == [3]
    assert np.count_nonzero(kept) == 50


def test_the_golden_json_is_that_of_the_table_of_pseudo_data_too():
    found = table.read(sample.recoil("data"))
    run, section = found["run"], found["luminosityBlock"]
    kept = sections.certified(run, section, str(sample.golden_json()))
    assert sorted(set(zip(run[~kept].tolist(), section[~kept].tolist(), strict=True))) == [
        (360000, 3),
        (360000, 41),
        (360000, 42),
    ]


@pytest.mark.parametrize("name", TABLES)
def test_numbers_of_events_are_those_of_sections_of_ten(name):
    """No event is there twice; top pairs of the pseudo-data have runs of their own."""
    found = table.read(sample.recoil(name))
    run, section, number = (found[column].astype(int) for column in ("run", "luminosityBlock", "event"))
    assert len({*zip(run, section, number, strict=True)}) == len(found)
    whole = (number - 1) // SECTION
    own = 1 + (whole % SECTIONS if name == "data" else whole)
    np.testing.assert_array_equal(section, own)
    if name == "data":
        top = run > FIRST_RUN + whole // SECTIONS
        assert 0.2 < top.sum() / DATA_TTBAR.events < 0.6
    else:
        assert set(run) == {1}


@pytest.mark.parametrize("name", SHOWN)
def test_stored_met_is_that_of_the_candidates(name):
    source = events.inspect(str(sample.events(name))).events()
    mets = evaluate(make_estimators(["pf", "puppi", "stored.MET", "stored.PuppiMET"]), source, source.Muon[:, :0])
    assert not mets.notes
    hardest = ak.to_numpy(ak.max(source.PFCands.pt, axis=1))[:, np.newaxis]
    rounding = 0.3 + 2.0**-11 * hardest
    assert (np.abs(mets.met["pf"] - mets.met["stored.MET"]) < rounding).all()
    assert (np.abs(mets.met["puppi"] - mets.met["stored.PuppiMET"]) < rounding).all()


@pytest.mark.parametrize("name", TABLES)
def test_recoil_tables(name):
    found, made_of = table.read(sample.recoil(name)), TABLES[name]
    assert 0.4 * made_of.events < len(found) < made_of.events
    assert np.isfinite(found[f"{made_of.selected}_pt"]).all()
    assert found.estimators == found.provenance["sample"]["estimators"]
    assert set(found.estimators) <= set(made_of.estimators)  # one that is added is in the tables of the next production
    there = {column for column in table.TRUTH_COLUMNS if column in found.data.column_names}
    assert there == ({*table.TRUTH_COLUMNS} if name != "data" else set())
    assert found.provenance["sample"]["seed"] == made_of.seed


@pytest.fixture(scope="module")
def peak():
    """Pseudo-data and simulation on the Z peak, and weights that give simulation the vertices of the data."""
    found = {name: table.read(sample.recoil(name)) for name in ("data", "zmumu")}
    found = {name: t.select((t["boson_mass"] > 80) & (t["boson_mass"] < 100)) for name, t in found.items()}
    assert min(map(len, found.values())) > 15_000
    edges = np.arange(-0.5, 80.5, 2)
    above, below = (np.histogram(t["npv"], edges)[0] for t in found.values())
    matched = (above / np.maximum(below, 1))[np.digitize(found["zmumu"]["npv"], edges) - 1]
    return [(found["data"], np.ones(len(found["data"]))), (found["zmumu"], matched)]


def width(values, weight):
    """RMS about the mean and its error."""
    centred = values - np.average(values, weights=weight)
    square, fourth = (np.average(centred**power, weights=weight) for power in (2, 4))
    effective = weight.sum() ** 2 / (weight**2).sum()
    return np.sqrt(square), np.sqrt((fourth / square - square) / effective) / 2


def ratio(data, mc):
    """Of values with errors."""
    (above, above_error), (below, below_error) = data, mc
    return above / below, above / below * np.hypot(above_error / above, below_error / below)


RANGES = ((30, 40), (40, 50), (50, 60), (60, 80), (80, 100), (100, 140))


def responses(name, estimator):
    """(ranges, 2) response and its error in ranges of qT, of a table."""
    found = table.read(sample.recoil(name))
    u, weight, out = recoil(found.vector("boson"), found.met(estimator)), found["weight"], []
    for low, high in RANGES:
        inside = (u.qt > low) & (u.qt < high)
        own, qt = weight[inside], u.qt[inside]
        value = np.average(u.u_par[inside], weights=own) / np.average(qt, weights=own)
        spread = np.sqrt(np.sum((own * (u.u_par[inside] - value * qt)) ** 2))
        out.append((value, spread / np.sum(own * qt)))
    return np.array(out)


@pytest.mark.parametrize(
    ("name", "estimator"),
    [("zee", "pf"), ("zee", "puppi"), ("zee", "deepmet"), ("gammajet", "pf")],
)
def test_channels_agree(name, estimator):
    """Each difference of responses over its error is a standard normal number: χ² of six below 22 but once in 1000."""
    one, other = responses("zmumu", estimator), responses(name, estimator)
    pulls = (one - other)[:, 0] / np.hypot(one[:, 1], other[:, 1])
    assert np.sum(pulls**2) < 22


def test_a_photon_has_no_vertex_and_puppi_pays_for_it():
    """Below 50 GeV pile-up is often taken for the collision of a photon, which lowers the response of PUPPI."""
    one, other = responses("zmumu", "puppi"), responses("gammajet", "puppi")
    assert (other[:2, 0] < one[:2, 0] - 5 * np.hypot(one[:2, 1], other[:2, 1])).all()


def test_puppi_is_sharper_than_pf(peak):
    for found, weight in peak:
        assert width(found.met("puppi")[:, 0], weight) < width(found.met("pf")[:, 0], weight)


@pytest.mark.parametrize("name", ["pf", "puppi", "deepmet"])
def test_pseudo_data_need_a_calibration(name, peak):
    """At equal numbers of vertices the response is 2 to 6 % lower, the recoil 5 to 15 % wider, beyond 4 errors."""
    responses, widths = [], []
    for found, weight in peak:
        u = recoil(found.vector("boson"), found.met(name))
        hard = u.qt > 20
        qt = np.average(u.qt[hard], weights=weight[hard])
        residual = width(u.u_par[hard] - u.qt[hard], weight[hard])[0]
        effective = weight[hard].sum() ** 2 / (weight[hard] ** 2).sum()
        responses.append((np.average(u.u_par[hard], weights=weight[hard]) / qt, residual / np.sqrt(effective) / qt))
        widths.append(width(u.u_perp, weight))
    response, error = ratio(*responses)
    assert 0.94 - error < response < 0.98 + error
    wider, error = ratio(*widths)
    assert 1.05 < wider < 1.15
    assert wider - 1 > 4 * error


def test_pseudo_data_have_more_jets_other_vertices_and_a_modulation(peak):
    (data, _), (mc, matched) = peak
    jets = [(np.average(t["njets"] > 0, weights=w), 0.35 / np.sqrt(len(t))) for t, w in peak]
    more, error = ratio(*jets)
    assert more - 1 > 4 * error
    assert data["npv"].std() > 1.05 * mc["npv"].std()
    for name in ("pf", "deepmet"):
        moved = data.met(name).mean(axis=0) - np.average(mc.met(name), axis=0, weights=matched)
        assert np.hypot(*moved) > 10 * data.met(name).std() / np.sqrt(len(data))


def test_all_of_it_is_small():
    total = sum(path.stat().st_size for path in sample.DIRECTORY.iterdir() if path.is_file())
    assert total < 14.5e6


def test_names_that_are_not_embedded():
    with pytest.raises(UnknownName, match="unknown embedded sample 'zmum', did you mean 'zmumu'"):
        sample.events("zmum")
