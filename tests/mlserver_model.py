"""A model of mlserver that evaluates an ONNX graph, in an environment that has ``mlserver`` and ``onnxruntime``.

``model-settings.json`` names it, ``mlserver_model.Graph``, and the graph as ``parameters.uri``.
"""

import numpy as np
import onnxruntime
from mlserver import MLModel
from mlserver.codecs import NumpyCodec
from mlserver.types import InferenceResponse


class Graph(MLModel):
    """One event a request, as ``ptmiss models serve-layout`` writes it."""

    async def load(self) -> bool:
        """Read the graph."""
        self.session = onnxruntime.InferenceSession(self.settings.parameters.uri)
        return True

    async def predict(self, payload):
        """The output of the graph for the inputs of a request."""
        given = {each.name: np.asarray(NumpyCodec.decode_input(each)) for each in payload.inputs}
        [found] = self.session.run(["met"], given)
        return InferenceResponse(model_name=self.name, outputs=[NumpyCodec.encode_output("met", found)])
