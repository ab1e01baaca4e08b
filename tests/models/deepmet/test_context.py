import numpy as np
import pytest

torch = pytest.importorskip("torch")

from ptmiss.models.deepmet import dataset
from ptmiss.models.deepmet.context import SIZES, Context, classes


@pytest.fixture(scope="module")
def batch(embedded):
    return dataset.batch(embedded, np.arange(8), np.ones((8, 2), bool))


@pytest.mark.parametrize("kind", SIZES)
def test_columns_and_rows(kind, batch):
    made = Context(kind, 64)
    columns = made(batch)
    assert columns.shape == (len(batch.features), SIZES[kind])
    assert made.kernel.shape == (SIZES[kind], 64)
    assert not made.kernel.any()
    assert torch.isfinite(columns).all()
    assert sum(p.numel() for p in made.parameters()) == 64 * SIZES[kind]
    assert not made.state_dict().keys() - {"kernel"}


def test_every_combination_is_of_one_class():
    assert classes().sum(dim=1).eq(1).all()


def test_sums_are_those_of_the_event(batch):
    columns = Context("sums", 1)(batch)
    charge, from_pv = (batch.categories // 44) - 1, batch.categories % 4
    pt, puppi = batch.features[:, 4], batch.features[:, 5]
    here = batch.event == 3
    expected = [
        here.sum() / 1000,
        *(
            pt[here & c].sum().log1p()
            for c in ((charge != 0) & (from_pv > 1), (charge != 0) & (from_pv < 2), charge == 0)
        ),
        (pt * puppi)[here & (charge == 0)].sum().log1p(),
    ]
    torch.testing.assert_close(columns[here], torch.stack(expected).expand(int(here.sum()), 5))


def test_the_recoil_is_that_of_charged_candidates_of_the_vertex_and_turns_with_the_event(embedded, batch):
    columns = Context("recoil", 1)(batch)
    vertex = (batch.categories // 44 != 1) & (batch.categories % 4 > 1)
    momentum = batch.features[:, 6:]
    recoil = momentum[vertex & (batch.event == 2)].sum(dim=0)
    here = batch.event == 2
    torch.testing.assert_close(columns[here, 5], recoil.norm().log1p().expand(int(here.sum())))
    cosine = torch.cosine_similarity(momentum[here], recoil.expand(int(here.sum()), 2))
    torch.testing.assert_close(columns[here, 6], cosine, atol=1e-4, rtol=0)
    turned = dataset.batch(embedded, np.arange(8), np.ones((8, 2), bool), np.linspace(0, 6, 8))
    torch.testing.assert_close(Context("recoil", 1)(turned), columns, atol=2e-4, rtol=0)
