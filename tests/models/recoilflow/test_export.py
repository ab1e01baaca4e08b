import numpy as np
import pytest

pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")

from ptmiss.calibration.flow.maps import JointMap
from ptmiss.models.recoilflow import export

from ...calibration.flow.test_export import CONTEXT, events, networks


def test_the_graph_gives_what_the_networks_give(tmp_path):
    joint = JointMap(("pf", "puppi"), CONTEXT, networks(1), {})
    export.write_onnx(joint.nominal, joint.features, CONTEXT, tmp_path / "map.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "map.onnx")
    context, u = events(200)
    given = {"context": np.column_stack(context).astype(float), "u": u}
    [found] = session.run(None, given)
    np.testing.assert_allclose(found, joint(u, given["context"]), rtol=0, atol=1e-9)
    assert session.get_modelmeta().custom_metadata_map["context"] == '["qt", "njets", "npv"]'
