import awkward as ak
import numpy as np
import pytest
from coffea.nanoevents import NanoEventsFactory

from ptmiss import candidates, events
from ptmiss.candidates import CATEGORIES
from ptmiss.errors import ColumnError
from ptmiss.networks.features import FEATURES
from ptmiss.segments import sum_by_event

ALL = (*FEATURES[:6], *CATEGORIES, "phi")


def record(**columns):
    """Two events of PF candidates, the second empty, from lists of the first event's columns."""
    n = len(next(iter(columns.values())))
    defaults = {"pt": [1.0] * n, "eta": [0.0] * n, "phi": [0.0] * n}
    fields = {k: ak.Array([v, []]) for k, v in (defaults | columns).items()}
    return ak.zip({"PFCands": ak.zip(fields)}, depth_limit=1)


def test_flat_columns_and_offsets_of_a_real_file(pfnano):
    read = candidates.read(events.inspect(str(pfnano)).events(), ALL)
    assert len(read) == 10
    assert read.offsets[-1] == 18197
    assert set(read.columns) == set(ALL)
    assert all(len(column) == 18197 for column in read.columns.values())
    assert not read.repaired


@pytest.mark.parametrize(
    "columns",
    [
        ["charge"],
        *(pytest.param(columns, marks=pytest.mark.slow) for columns in (["pt", "phi"], ["fromPV"], list(ALL))),
    ],
)
def test_only_the_branches_needed_are_touched(pfnano, columns):
    log = []
    source = NanoEventsFactory.from_root(
        {str(pfnano): "Events"}, schemaclass=events.EventSchema, access_log=log, mode="virtual"
    ).events()
    candidates.read(source, columns)
    there = {b.removeprefix("PFCands_") for b in events.inspect(str(pfnano)).branches if b.startswith("PFCands_")}
    needed = set().union(*(candidates.inputs(c, there) for c in ["pt", *columns]))
    expected = {f"PFCands_{candidates.suffix_of(c, there)}" for c in needed} | {"nPFCands"}
    assert {access.branch for access in log} == expected
    assert len(expected) <= 11 < len(there)


def test_momentum_gives_the_raw_met_that_cms_stored(pfnano):
    source = events.inspect(str(pfnano)).events()
    read = candidates.read(source, ["phi"])
    met = -sum_by_event(read.momentum, read.offsets)
    np.testing.assert_allclose(np.hypot(*met.T), ak.to_numpy(source.RawMET.pt), rtol=0.01)


@pytest.mark.slow
def test_v15_layout_has_no_charge_and_it_is_derived(nano_v15):
    source = events.inspect(str(nano_v15)).events()
    read = candidates.read(source, ["charge", "pdgId"])
    pdg_id = ak.to_numpy(ak.flatten(source.PFCand.pdgId))
    np.testing.assert_array_equal(read["charge"][pdg_id == -11], 1)
    np.testing.assert_array_equal(read["charge"][pdg_id == 211], 1)
    np.testing.assert_array_equal(read["charge"][pdg_id == 22], 0)


@pytest.mark.slow
def test_derived_charge_equals_the_stored_one(pfnano):
    read = candidates.read(events.inspect(str(pfnano)).events(), ["charge", "pdgId"])
    np.testing.assert_array_equal(candidates.charge_of(read["pdgId"]), read["charge"])


@pytest.mark.parametrize(
    ("charge", "pdg_id", "quality", "puppi", "expected"),
    [
        (0, 22, 0, 0.0, 3),
        (1, 211, 7, 1.0, 3),
        (1, 211, 5, 1.0, 2),
        (-1, 13, 7, 0.5, 2),
        (1, 211, 5, 0.0, 1),
        (1, 211, 6, 0.0, 0),
        (1, 211, 7, 0.3, 0),
    ],
)
def test_rule_for_from_pv(charge, pdg_id, quality, puppi, expected):
    arrays = (np.array([value]) for value in (charge, pdg_id, quality, puppi))
    assert candidates.from_pv(*arrays) == [expected]


def test_a_stored_from_pv_is_taken_as_it_is():
    read = candidates.read(record(fromPV=[0, 1, 2, 3]), ["fromPV"])
    assert read["fromPV"].tolist() == [0, 1, 2, 3]


def test_neutrals_without_track_details_have_no_impact_parameter_and_charged_ones_keep_the_mark():
    source = record(pdgId=[22, 211, 130], charge=[0, 1, 0], d0=[-1.0, -1.0, 0.5], dz=[-1.0, -1.0, 0.25])
    read = candidates.read(source, ["dxy", "dz"])
    assert read["dxy"].tolist() == [0, -1, 0.5]
    assert read["dz"].tolist() == [0, -1, 0.25]


def test_values_that_make_no_sense_are_repaired_and_counted():
    source = record(
        pt=[1.0, np.nan, np.inf, 2.0, 3.0],
        mass=[0.1, 0.1, 0.1, np.nan, 0.1],
        pdgId=[211, 211, 211, 9999, -7],
        charge=[1, 1, 1, -1, 5],
        fromPV=[0, 1, 2, 7, -2],
    )
    read = candidates.read(source, ["mass", "pdgId", "charge", "fromPV"])
    assert read["pt"].tolist() == [1, 2, 3]
    assert read.offsets.tolist() == [0, 3, 3]
    assert read["mass"].tolist() == pytest.approx([0.1, 0, 0.1])
    assert read["pdgId"].tolist() == [211, -211, 211]
    assert read["charge"].tolist() == [1, -1, 1]
    assert read["fromPV"].tolist() == [0, 3, 0]
    assert read.repaired == {
        "momentum not finite": 2,
        "mass not finite": 1,
        "charge out of range": 1,
        "fromPV out of range": 2,
        "pdgId unknown": 2,
    }


def test_an_unknown_neutral_becomes_a_neutral_hadron():
    read = candidates.read(record(pdgId=[2112], charge=[0]), ["pdgId", "charge"])
    assert read["pdgId"].tolist() == [130]


@pytest.mark.slow
def test_events_selected_out_of_order_keep_their_candidates(pfnano):
    source = events.inspect(str(pfnano)).events()
    whole = candidates.read(source, ["pt"])
    part = candidates.read(source[np.array([7, 2])], ["pt"])
    for position, number in enumerate((7, 2)):
        here = slice(*part.offsets[position : position + 2])
        there = slice(*whole.offsets[number : number + 2])
        np.testing.assert_array_equal(part["pt"][here], whole["pt"][there])


@pytest.mark.slow
def test_ttree_rntuple_and_parquet_hold_the_same_candidates(pfnano, tmp_path):
    import uproot

    with uproot.open(pfnano) as file:
        arrays = file["Events"].arrays(filter_name=["PFCands_*", "run", "event", "luminosityBlock"])
    ak.to_parquet(arrays, tmp_path / "events.parquet")
    with uproot.recreate(tmp_path / "rntuple.root") as file:
        file["Events"] = arrays
    expected = candidates.read(events.inspect(str(pfnano)).events(3, 8), ALL)
    for path in (tmp_path / "events.parquet", tmp_path / "rntuple.root"):
        read = candidates.read(events.inspect(str(path)).events(3, 8), ALL)
        np.testing.assert_array_equal(read.offsets, expected.offsets)
        for name in ALL:
            np.testing.assert_array_equal(read[name], expected[name])


def test_a_missing_column_names_estimator_column_file_and_what_is_there():
    branches = {"PFCand_pt", "PFCand_eta", "PFCand_phi", "PFCand_pdgId"}
    candidates.require(["pt", "charge"], branches, "pf", "a.root")
    with pytest.raises(
        ColumnError,
        match=r"'puppi' needs PFCand column 'puppiWeight', which a\.root.*nor 'pvAssocQuality' to.*"
        r"there: eta, pdgId, phi, pt",
    ):
        candidates.require(["puppiWeight"], branches, "puppi", "a.root")
    with pytest.raises(ColumnError, match=r"'deepmet' needs PFCand column 'mass', which a\.root does not have; there"):
        candidates.require(["mass"], branches, "deepmet", "a.root")


def test_no_candidates_at_all():
    with pytest.raises(ColumnError, match=r"'pf' needs PF candidates .*b\.root has none"):
        candidates.require(["pt"], {"Muon_pt"}, "pf", "b.root")
    with pytest.raises(ColumnError, match="no PF candidates"):
        candidates.read(ak.Array([{"run": 1}]), ["pt"])


def test_puppi_weights_are_made_where_a_file_has_none():
    rng = np.random.default_rng(0)
    n = 300
    charge = rng.choice([-1, 0, 1], n)
    columns = {
        "pt": rng.exponential(1, n) + 0.3,
        "eta": rng.uniform(-2.4, 2.4, n),
        "phi": rng.uniform(-3.1, 3.1, n),
        "charge": charge,
        "fromPV": np.where(charge == 0, 3, rng.choice([0, 3], n)),
        "dz": np.zeros(n),
        "d0": np.zeros(n),
    }
    jagged = ak.zip({name: ak.Array([values.tolist()]) for name, values in columns.items()})
    source = ak.zip({"PFCands": jagged, "PV": ak.Array([{"npvs": 30}])}, depth_limit=1)
    weight = candidates.read(source, ["puppiWeight"])["puppiWeight"]
    assert set(weight[charge != 0]) == {0.0, 1.0}
    np.testing.assert_array_equal(weight[charge != 0], columns["fromPV"][charge != 0] == 3)
    assert ((weight >= 0) & (weight <= 1)).all()
    assert len(set(weight[charge == 0])) > 5
