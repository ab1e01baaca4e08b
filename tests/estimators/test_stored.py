import numpy as np
import pytest

from ptmiss import events
from ptmiss.errors import ColumnError
from ptmiss.estimators import evaluate, make_estimators
from ptmiss.recoil import cartesian


@pytest.fixture(scope="module")
def nano(shared):
    path = shared / "analysis" / "nano" / "nano_tt_v12.root"
    if not path.is_file():
        pytest.skip(f"no {path}")
    return events.inspect(str(path))


@pytest.mark.parametrize("variation", ["JESUp", "JERDown", "UnclusteredUp", "UnclusteredDown"])
def test_a_stored_variation_is_what_the_file_says(nano, variation):
    name = f"stored.PuppiMET_pt{variation}"
    (estimator,) = make_estimators([name])
    estimator.require(nano.branches, "a.root")
    source = nano.events()
    met = evaluate([estimator], source, source.Muon[:, :0]).met[name]
    tree = source.PuppiMET
    np.testing.assert_array_equal(met, cartesian(tree[f"pt{variation}"].to_numpy(), tree[f"phi{variation}"].to_numpy()))
    assert np.hypot(*(met - cartesian(tree.pt.to_numpy(), tree.phi.to_numpy())).T).mean() > 0.5


def test_a_variation_that_is_not_there_names_those_that_are():
    there = {"PuppiMET_pt", "PuppiMET_phi", "PuppiMET_ptJESUp", "PuppiMET_phiJESUp", "MET_pt", "PuppiMET_ptJERUp"}
    make_estimators(["stored.PuppiMET_ptJESUp"])[0].require(there, "a.root")
    with pytest.raises(
        ColumnError, match=r"needs branch PuppiMET_ptJESDown, .* PuppiMET, PuppiMET_ptJERUp, PuppiMET_ptJESUp$"
    ):
        make_estimators(["stored.PuppiMET_ptJESDown"])[0].require(there, "a.root")
    with pytest.raises(ColumnError, match=r"needs branch PuppiMET_phiJERUp, which a\.root"):
        make_estimators(["stored.PuppiMET_ptJERUp"])[0].require(there, "a.root")
    with pytest.raises(ColumnError, match=r"needs branch CaloMET_ptJESUp, .* METs there: MET, PuppiMET$"):
        make_estimators(["stored.CaloMET_ptJESUp"])[0].require(there, "a.root")
