"""Serves one ONNX graph with NVIDIA's Triton, in an environment that has ``nvidia-pytriton`` and ``onnxruntime``.

``python pytriton_server.py MODEL.onnx PORT``: the model ``deepmet`` at that gRPC port, evaluated by onnxruntime.
"""

import sys

import numpy as np
import onnxruntime
from pytriton.model_config import ModelConfig, Tensor
from pytriton.triton import Triton, TritonConfig

INPUTS = [
    Tensor(name="features", dtype=np.float32, shape=(-1, 8)),
    Tensor(name="categories", dtype=np.int64, shape=(-1, 3)),
]
OUTPUTS = [Tensor(name="met", dtype=np.float64, shape=(2,))]


def main(path: str, port: int) -> None:
    """Serve until the end."""
    session = onnxruntime.InferenceSession(path)

    def infer(requests):
        names = ("features", "categories")
        return [{"met": session.run(None, {name: request[name] for name in names})[0]} for request in requests]

    with Triton(config=TritonConfig(grpc_port=port, http_port=port + 1, metrics_port=port + 2)) as triton:
        triton.bind("deepmet", infer, INPUTS, OUTPUTS, config=ModelConfig(batching=False))
        triton.serve()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
