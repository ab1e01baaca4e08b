import awkward as ak
import numpy as np
import pytest
import uproot
from hypothesis import given
from hypothesis import strategies as st

from ptmiss.errors import ColumnError, CorrectionError
from ptmiss.events import inspect
from ptmiss.selections.weights.columns import SUMS, Columns
from ptmiss.selections.weights.schema import weight
from ptmiss.selections.weights.theory import SHOWER_ORDER, shower_order

from .events import DATA, Events

DRELL_YAN = DATA / "nano/nano_dy.root"
real = pytest.mark.skipif(not DRELL_YAN.is_file(), reason="needs public NanoAOD files")
NINE = [0.9, 0.95, 1.3, 0.97, 1.0, 1.03, 0.6, 1.05, 1.1]  # the two with opposite scales are the extremes


def columns(branch, values, sums=None):
    return Columns(Events({SUMS: sums or {}}, **{branch: ak.from_iter(values)}), {})


def scale(vary="envelope", **keys):
    return weight("scale", {"kind": "scale", "vary": vary, "keep_rate": False} | keys)


def pdf(**keys):
    return weight("pdf", {"kind": "pdf", "keep_rate": False} | keys)


@pytest.mark.parametrize(
    ("vary", "up", "down"),
    [("renormalisation", 1.05, 0.95), ("factorisation", 1.03, 0.97), ("both", 1.1, 0.9), ("envelope", 1.1, 0.9)],
)
@pytest.mark.parametrize("entries", [NINE, [2 * w for w in NINE], NINE[:4] + NINE[5:]])
def test_scales_by_their_place_among_nine_or_eight(vary, up, down, entries):
    found = scale(vary).evaluate("scale", columns("LHEScaleWeight", [entries] * 2))
    assert found.nominal.tolist() == [1, 1]
    assert found.up == pytest.approx([up] * 2)
    assert found.down == pytest.approx([down] * 2)


@pytest.mark.parametrize("entries", [[[1.0]], [NINE, NINE[:4]], [[1.0] * 44]])
def test_another_number_of_scales_is_one_line(entries):
    with pytest.raises(ColumnError, match=r"weight 'scale': LHEScaleWeight has .* entries, expected 9 or 8"):
        scale().evaluate("scale", columns("LHEScaleWeight", entries))


@given(st.integers(0, 2**32 - 1))
def test_a_single_scale_keeps_the_rate(seed):
    random = np.random.default_rng(seed)
    members, generator = random.uniform(0.5, 2, (50, 9)), random.uniform(0.5, 2, 50)
    rates = (generator @ members / generator.sum()).tolist()
    at = columns("LHEScaleWeight", members, {"LHEScaleSumw": rates})
    of_central = generator * members[:, 4]  # what the sum of weights would be with the central scales
    for vary in ("renormalisation", "factorisation", "both"):
        found = scale(vary, keep_rate=True).evaluate("scale", at)
        for varied in (found.up, found.down):
            assert of_central @ varied / of_central.sum() == pytest.approx(1, rel=1e-9)


def test_sums_of_another_length_are_one_line():
    with pytest.raises(CorrectionError, match="weight 'scale': LHEScaleSumw in Runs has 8 entries, expected 9"):
        scale(keep_rate=True).evaluate("scale", columns("LHEScaleWeight", [NINE], {"LHEScaleSumw": [1.0] * 8}))


def test_a_hessian_is_summed_in_quadrature():
    members = [2.0, *(2 * (1 + d) for d in [0.03, 0.04] + [0.0] * 28), 2 * 0.88, 2 * 1.12]  # central, 30, alpha_s
    found = pdf().evaluate("pdf", columns("LHEPdfWeight", [members]))
    assert found.up == pytest.approx(1.13)  # 3, 4 and 12
    assert found.down == pytest.approx(0.87)
    assert pdf(alpha_s=False).evaluate("pdf", columns("LHEPdfWeight", [members])).up == pytest.approx(1.05)


@pytest.mark.parametrize(("length", "first"), [(100, 0), (101, 1), (102, 0), (103, 1)])
def test_replicas_are_those_between_the_central_member_and_alpha_s(length, first):
    replicas = np.random.default_rng(length).normal(1, 0.02, 100)
    members = np.concatenate([np.ones(first), replicas, [9.0, 9.0][: length - 100 - first]])
    found = pdf(method="replicas").evaluate("pdf", columns("LHEPdfWeight", [members]))
    assert found.up == pytest.approx(1 + replicas.std(ddof=1))


def test_members_of_another_set_are_given():
    with pytest.raises(ColumnError, match="LHEPdfWeight has 59 entries, expected 31 or 33 or"):
        pdf().evaluate("pdf", columns("LHEPdfWeight", [[1.0] * 59]))
    members = [1.0] * 58 + [1.1]
    assert pdf(members=[1, 58]).evaluate("pdf", columns("LHEPdfWeight", [members])).up == pytest.approx(1.1)


def test_the_order_of_the_shower_is_that_of_the_title():
    old = "[0] is ISR=0.5 FSR=1; [1] is ISR=1 FSR=0.5; [2] is ISR=2 FSR=1; [3] is ISR=1 FSR=2 "
    assert shower_order(old) == [("ISR", 0.5), ("FSR", 0.5), ("ISR", 2.0), ("FSR", 2.0)]
    assert shower_order("PSWeight/F") == shower_order("") == list(SHOWER_ORDER)


@pytest.mark.parametrize(("part", "up", "down"), [("ISR", 1.2, 0.8), ("FSR", 1.4, 0.6)])
def test_the_shower(part, up, down):
    shower = weight("ps", {"kind": "shower", "part": part, "keep_rate": False})
    found = shower.evaluate("ps", columns("PSWeight", [[1.2, 1.4, 0.8, 0.6]]))
    assert (found.up, found.down) == ([up], [down])


def test_a_dummy_weight_of_the_shower_is_one_line():
    with pytest.raises(ColumnError, match="weight 'ps': PSWeight has 1 entries, expected 4"):
        weight("ps", {"kind": "shower", "part": "ISR", "keep_rate": False}).evaluate("ps", columns("PSWeight", [[1.0]]))


@pytest.mark.slow
@real
def test_an_old_file_has_the_halved_scales_of_the_shower_first():
    file = inspect(str(DRELL_YAN))
    stored = uproot.open(DRELL_YAN)["Events"]["PSWeight"].array().to_numpy()
    at = Columns(file.events(), {})
    found = weight("ps", {"kind": "shower", "part": "FSR", "keep_rate": False}).evaluate("ps", at)
    np.testing.assert_allclose(found.up, stored[:, 3])
    np.testing.assert_allclose(found.down, stored[:, 1])


@real
def test_sums_of_a_real_file_scale_each_member():
    file = inspect(str(DRELL_YAN))
    sums = file.generated.theory["LHEScaleSumw"]  # all of this version are 43 times too large: only ratios count
    events = file.events()
    events.metadata[SUMS] = {"LHEScaleSumw": list(sums)}
    stored = uproot.open(DRELL_YAN)["Events"]["LHEScaleWeight"].array().to_numpy()
    found = scale("both", keep_rate=True).evaluate("scale", Columns(events, {}))
    np.testing.assert_allclose(found.up, stored[:, 8] / stored[:, 4] / (sums[8] / sums[4]), rtol=1e-6)
    assert 0.9 < sums[8] / sums[4] < 1.1


def test_no_events():
    empty = ak.from_iter([NINE])[:0]
    for each, branch in ((scale(), "LHEScaleWeight"), (pdf(), "LHEPdfWeight")):
        assert len(each.evaluate("w", Columns(Events(**{branch: empty}), {})).up) == 0
