import json

import numpy as np
import pytest

from ptmiss.errors import WeightsError
from ptmiss.models.recoilflow import weights
from ptmiss.models.recoilflow.weights import RecoilFlow, Shape
from ptmiss.networks.weights import write_tensors

from .conftest import SMALL

SHAPE = Shape(("a", "b", "c", "d"), ("qt", "njets", "npv", "y"), SMALL["hidden"], SMALL["bins"], 1)


def test_a_flow_comes_back_from_its_file(trained, toy_events, tmp_path):
    flow = RecoilFlow(SHAPE, trained[0])
    digest = weights.save(flow, tmp_path / "f.safetensors", {"seed": 1})
    again = weights.load(tmp_path / "f.safetensors")
    assert again.shape == SHAPE
    assert len(digest) == 64
    events = toy_events.u[:100], toy_events.context[:100]
    np.testing.assert_allclose(again.correct(*events), flow.correct(*events), rtol=0, atol=1e-9)


@pytest.mark.parametrize(
    ("about", "message"),
    [
        ({"architecture": "recoilflow", "version": "0"}, r"version '0' of a flow's file, expected '3'"),
        ({"architecture": "deepmet"}, r"architecture 'deepmet', expected 'recoilflow'"),
    ],
)
def test_a_file_of_another_version_or_kind_is_one_line(tmp_path, about, message):
    write_tensors(tmp_path / "f.safetensors", {"a": np.zeros(1, np.float32)}, {**about, "shape": json.dumps({})}, {})
    with pytest.raises(WeightsError, match=message):
        weights.load(tmp_path / "f.safetensors")
