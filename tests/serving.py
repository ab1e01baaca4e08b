"""A server of the V2 protocol over gRPC, which evaluates the graphs of a model repository with onnxruntime.

It stands for Triton: the messages are those of Triton's own client. ``failures`` requests are answered as by a server
that is not there, and ``token`` is asked of every request. With a ``certificate``, key and chain, it speaks TLS alone.
"""

from __future__ import annotations

import time
from concurrent import futures
from pathlib import Path

import grpc
import numpy as np
import onnxruntime
from tritonclient.grpc import service_pb2, service_pb2_grpc
from tritonclient.utils import np_to_triton_dtype, triton_to_np_dtype

KINDS = {"tensor(float)": "FP32", "tensor(double)": "FP64", "tensor(int64)": "INT64"}


class Server(service_pb2_grpc.GRPCInferenceServiceServicer):
    """A running server of a repository; ``port`` is where."""

    def __init__(
        self,
        repository: Path,
        port: int = 0,
        token: str = "",
        delay: float = 0.0,
        certificate: tuple[bytes, bytes] | None = None,
    ):
        self.sessions = {
            path.parts[-3]: onnxruntime.InferenceSession(str(path)) for path in repository.glob("*/*/model.onnx")
        }
        self.failures, self.token, self.delay, self.asked = 0, token, delay, 0
        self.server = grpc.server(futures.ThreadPoolExecutor(2))
        service_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(self, self.server)
        address = f"127.0.0.1:{port}"
        if certificate:
            credentials = grpc.ssl_server_credentials([certificate])
            self.port = self.server.add_secure_port(address, credentials)
        else:
            self.port = self.server.add_insecure_port(address)
        self.server.start()

    def stop(self):
        """Stop it, and wait until it has."""
        self.server.stop(0).wait()

    def session(self, request, name, context):
        """The graph of a request, if the server answers at all."""
        self.asked += 1
        given = dict(context.invocation_metadata()).get("authorization", "")
        if self.token and given != f"Bearer {self.token}":
            context.abort(grpc.StatusCode.UNAUTHENTICATED, "no token, or another")
        if self.failures:
            self.failures -= 1
            context.abort(grpc.StatusCode.UNAVAILABLE, "down for now")
        if name not in self.sessions:
            context.abort(grpc.StatusCode.NOT_FOUND, f"Request for unknown model: '{name}' is not found")
        return self.sessions[name]

    def ModelMetadata(self, request, context):  # noqa: N802
        """Inputs and outputs of a graph."""
        session = self.session(request, request.name, context)
        answer = service_pb2.ModelMetadataResponse(name=request.name, versions=["1"], platform="onnxruntime_onnx")
        for side, values in ((answer.inputs, session.get_inputs()), (answer.outputs, session.get_outputs())):
            for value in values:
                shape = [size if isinstance(size, int) else -1 for size in value.shape]
                side.add(name=value.name, datatype=KINDS[value.type], shape=shape)
        return answer

    def ModelInfer(self, request, context):  # noqa: N802
        """Outputs of a graph."""
        session = self.session(request, request.model_name, context)
        time.sleep(self.delay)
        given = {
            each.name: np.frombuffer(raw, triton_to_np_dtype(each.datatype)).reshape(each.shape)
            for each, raw in zip(request.inputs, request.raw_input_contents, strict=True)
        }
        names = [value.name for value in session.get_outputs()]
        answer = service_pb2.ModelInferResponse(model_name=request.model_name, model_version="1")
        for name, values in zip(names, session.run(names, given), strict=True):
            answer.outputs.add(name=name, datatype=np_to_triton_dtype(values.dtype), shape=values.shape)
            answer.raw_output_contents.append(values.tobytes())
        return answer
