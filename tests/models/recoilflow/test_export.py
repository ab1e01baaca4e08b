import numpy as np
import pytest
import torch

pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")

from ptmiss.calibration.flow import toys
from ptmiss.calibration.flow.maps import JointMap
from ptmiss.calibration.flow.toys import COMPONENTS
from ptmiss.models.recoilflow import export
from ptmiss.models.recoilflow.weights import RecoilFlow, Shape

from ...calibration.flow.test_export import CONTEXT, events, networks


def test_the_graph_gives_what_the_networks_give(tmp_path):
    joint = JointMap(("pf", "puppi"), CONTEXT, networks(1), {})
    export.write_onnx(export.graph(joint.nominal, joint.features, CONTEXT), tmp_path / "map.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "map.onnx")
    context, u = events(200)
    given = {"context": np.column_stack(context).astype(float), "u": u}
    [found] = session.run(None, given)
    np.testing.assert_allclose(found, joint(u, given["context"]), rtol=0, atol=1e-9)
    assert session.get_modelmeta().custom_metadata_map["context"] == '["qt", "njets", "npv"]'


def random_flow(toy_events, splines):
    """A flow whose data and simulation differ in everything."""
    shape = Shape(COMPONENTS, tuple(toys.draw("mc", 1, 1).context), (16, 16), 5, splines)
    torch.manual_seed(1)
    network = shape.network()
    network.measure(toy_events)
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return RecoilFlow(shape, network)


@pytest.mark.parametrize("splines", [1, 2])
def test_the_graph_of_a_flow_gives_what_the_flow_gives(toy_events, tmp_path, splines):
    flow = random_flow(toy_events, splines)
    export.write_onnx(export.flow_graph(flow), tmp_path / "flow.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "flow.onnx")
    simulated = toy_events.select(~toy_events.data)
    stretched = simulated.u * np.repeat([1.0, 3.0, 10.0], len(simulated) // 3)[:, np.newaxis]
    [found] = session.run(None, {"context": simulated.context, "u": stretched})
    expected = flow.correct(stretched, simulated.context)
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-8)
    assert np.sqrt(np.mean((expected - stretched) ** 2)) > 5
