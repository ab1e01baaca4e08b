"""coffea's connection to a Triton server with timeouts, a token, and errors that say what to do (extra triton)."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any

import tritonclient.grpc  # noqa: F401
from coffea.ml_tools.triton_wrapper import triton_wrapper

from ptmiss.errors import OptionError
from ptmiss.networks.inputs import Inputs
from ptmiss.typing import Vector

from . import servers
from .servers import OUTPUTS, ask_server, headers, packed, padded


class Server(triton_wrapper):
    """A model on a server, in one of the two layouts of ptmiss.estimators.servers."""

    def __init__(self, url: str, client_args: dict[str, Any]) -> None:
        super().__init__(url, client_args)
        self.url = url

    def prepare_awkward(self, *_: Any) -> Any:
        raise NotImplementedError

    @cached_property
    def headers(self) -> Mapping[str, str] | None:
        return headers(self.url)

    def _create_model_metadata(self) -> dict[str, Any]:
        options = {"as_json": True, "headers": self.headers, "client_timeout": servers.TIMEOUT}
        return ask_server(self.url, lambda: self.client.get_model_metadata(self.model, self.version, **options))

    def run_infer(self, inputs: Any, outputs: Any, attempt: int = 0) -> Any:
        options = {"headers": self.headers, "client_timeout": servers.TIMEOUT, "model_version": self.version}
        return ask_server(self.url, lambda: self.client.infer(self.model, inputs=inputs, outputs=outputs, **options))

    @cached_property
    def output(self) -> str:
        """The output, which says what the layout is."""
        there = set(self.model_inputs), set(self.model_outputs)
        for name, wanted in OUTPUTS.items():
            if there == (wanted, {name}):
                return name
        inputs, outputs = (", ".join(sorted(names)) for names in there)
        raise OptionError(f"{self.url} serves {inputs} -> {outputs}: that is no DeepMET of ptmiss models serve-layout")

    @cached_property
    def slots(self) -> int:
        """Slots of an event in CMS's layout; 0 in the other."""
        return int(self.model_inputs["input"]["shape"][-2]) if self.output == "output/BiasAdd" else 0

    def evaluate(self, inputs: Inputs) -> Vector:
        """(events, 2) pTmiss, GeV."""
        return padded(self, inputs) if self.slots else packed(self, inputs)
