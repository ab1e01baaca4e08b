import numpy as np
import pytest

from ptmiss.angles import wrap
from ptmiss.elements import Elements
from ptmiss.errors import UnknownName
from ptmiss.segments import from_counts

torch = pytest.importorskip("torch")

from ptmiss.models.mlpf import configuration, inputs, network
from ptmiss.models.mlpf.lsh import CombinedGraph

from ...helpers import SMALL, random_elements, random_network


def told(net, elements):
    with torch.inference_mode():
        return [x for x in net(inputs.pack(elements, net.schema)) if x is not None]


def alike(one, other, tolerance=2e-4):
    for a, b in zip(one, other, strict=True):
        torch.testing.assert_close(a, b, rtol=tolerance, atol=tolerance)


def rows_of(elements, rows, offsets):
    return Elements({name: column[rows] for name, column in elements.columns.items()}, offsets)


@pytest.mark.parametrize(
    ("name", "parameters"),
    [("compact", 126_634), ("exact", 126_634), ("gnn-lsh-2021", 1_353_472), ("cms-v220", 5_066_785)],
)
def test_parameters(name, parameters):
    """5,066,785 is the count of the public v2.2.0 network; 1.35 million that of 2021."""
    assert network.build(configuration.preset(name)).count_parameters() == parameters


def test_the_codebook_of_2021():
    net = network.build(configuration.preset("gnn-lsh-2021"))
    assert sum(layer.codebook.numel() for layer in net.modules() if isinstance(layer, CombinedGraph)) == 32_000


@pytest.mark.parametrize(
    "net",
    [
        random_network(**SMALL),
        random_network("exact", **SMALL),
        random_network("lsh", width=32, hidden=16, window=16),
        random_network("gnn-lsh-2021"),
        random_network("cms-v220"),
    ],
    ids=["window", "exact", "lsh", "2021", "v2.2.0"],
)
class TestAny:
    def test_an_event_does_not_depend_on_its_batch_mates(self, net):
        elements = random_elements([70, 0, 1, 150, 33])
        together = told(net, elements)
        for i in (0, 2, 3, 4):
            event = elements.events(slice(i, i + 1))
            inside = slice(elements.offsets[i], elements.offsets[i + 1])
            alike(told(net, event), [x[inside] for x in together])

    def test_the_order_of_elements_does_not_matter(self, net):
        elements = random_elements([90, 40])
        rng = np.random.default_rng(3)
        rows = np.concatenate([rng.permutation(90), 90 + rng.permutation(40)])
        alike(told(net, rows_of(elements, rows, elements.offsets)), [x[rows] for x in told(net, elements)])

    def test_no_elements_and_no_events(self, net):
        assert told(net, random_elements([0, 0]))[0].shape == (0, 8)
        assert told(net, random_elements([]))[0].shape == (0, 8)

    def test_answers_are_finite(self, net):
        assert all(x.isfinite().all() for x in told(net, random_elements([60])))


def test_windows_and_whole_events_agree_where_one_window_is_enough():
    elements = random_elements([32, 5, 0, 20])
    alike(told(random_network(**SMALL), elements), told(random_network("exact", **SMALL), elements))


def test_turning_an_event_changes_nothing():
    elements = random_elements([120])
    turned = dict(elements.columns)
    for name in ("phi", "caloPhi"):
        turned[name] = wrap(turned[name] + np.float32(1.234))
    net = random_network("exact", **SMALL)
    alike(told(net, elements), told(net, Elements(turned, elements.offsets)), 1e-3)


def test_heads_see_near_elements():
    """The distance in the heads is -dR² / 2s², up to what is the same for all keys."""
    from ptmiss.models.mlpf.attention import Distance

    position = torch.tensor([[1.0, 3.1], [1.1, -3.1], [0.8, 2.9]])
    distance = Distance.of(position, [0.15, None])
    logits = torch.einsum("ihc,jhc->hij", distance.query, distance.key)
    deta, dphi = (position[:, None, i] - position[None, :, i] for i in range(2))
    expected = -(deta**2 + 2 * (1 - dphi.cos())) / (2 * 0.15**2)
    difference = logits[0] - expected
    torch.testing.assert_close(difference, difference[:, :1].expand(3, 3), atol=1e-4, rtol=0)
    assert not logits[1].any()


def test_at_the_start_it_is_what_was_measured():
    elements = random_elements([20])
    torch.manual_seed(0)
    net = network.build(configuration.preset("compact"))
    packed = inputs.pack(elements, net.schema)
    pt, eta, phi, energy = (x.detach().numpy() for x in net(packed).momentum(packed))
    np.testing.assert_allclose(pt, elements["pt"], rtol=1e-6)
    np.testing.assert_allclose(energy, elements["energy"], rtol=1e-4)
    np.testing.assert_array_equal(eta, elements["eta"])
    np.testing.assert_array_equal(phi, elements["phi"])


def test_predicted_angles_do_not_wrap():
    elements = random_elements([3])
    elements.columns["phi"][:] = np.float32(3.1)
    packed = inputs.pack(elements, inputs.schema("compact"))
    turn = torch.tensor([[np.cos(0.1), np.sin(0.1)]] * 3, dtype=torch.float32)
    zeros = torch.zeros(3)
    outputs = network.Outputs(torch.zeros(3, 8), zeros, zeros, packed.direction[:, 0], turn)
    np.testing.assert_allclose(outputs.momentum(packed)[2], 3.2 - 2 * np.pi, rtol=1e-5)


def test_hashes_are_below_the_number_of_bins():
    torch.manual_seed(0)
    layer = CombinedGraph(8, 8, size=16)
    counts = [10, 200, 40]
    hashes, _ = layer.hash_elements(torch.randn(250, 64), torch.from_numpy(from_counts(np.array(counts))))
    assert [int(part.max()) < 2 * -(-n // 32) for part, n in zip(hashes.split(counts), counts, strict=True)] == [
        True
    ] * 3
    assert hashes.min() == 0


def test_unknown_names():
    with pytest.raises(UnknownName, match="unknown preset 'cms-v22', did you mean 'cms-v220'"):
        configuration.preset("cms-v22")
    with pytest.raises(UnknownName, match="unknown schema of inputs 'atlas'"):
        inputs.schema("atlas")


def test_heads_must_fit():
    with pytest.raises(ValueError, match="width 64 cannot be divided into 16 heads of at least 8"):
        configuration.Configuration(heads=16)
