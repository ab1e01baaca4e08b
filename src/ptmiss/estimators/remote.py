"""A network on an inference server: ``remote.NAME=triton+grpc://host:port/model/version``."""

from __future__ import annotations

import atexit
from collections import Counter
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from ptmiss.candidates import CATEGORIES, Candidates
from ptmiss.errors import OptionError
from ptmiss.leptons import EXACT, leave_out
from ptmiss.networks.features import FEATURES
from ptmiss.networks.inputs import Inputs
from ptmiss.typing import Vector

from .base import Estimator, Selected
from .servers import ADDRESS, encrypted

REMOTE = "remote."


@dataclass(frozen=True)
class Remote(Estimator):
    """A DeepMET that a server runs. The leptons of the boson are added here, exactly."""

    name: str
    url: str
    treatment: str | None = EXACT
    columns: tuple[str, ...] = field(default=("phi", *FEATURES[:6], *CATEGORIES))

    def __post_init__(self) -> None:
        if not ADDRESS.fullmatch(self.url):
            raise OptionError(
                f"estimator {self.name!r}: expected triton+grpc://host:port/model/version, not {self.url!r}"
            )

    def __getstate__(self) -> dict[str, Any]:
        """The attributes without the connection, which each process has for itself."""
        return {key: value for key, value in vars(self).items() if key != "server"}

    @cached_property
    def server(self) -> Any:
        """The connection."""
        return connect(self.url)

    def met(self, events: Any, candidates: Candidates, selected: Selected, notes: Counter[str]) -> Vector:
        """(events, 2) pTmiss in GeV."""
        out = selected if self.treatment == EXACT else np.zeros_like(selected)
        rest, momentum = leave_out(candidates, out)
        inputs = Inputs.from_candidates(rest)
        if self.server.slots:
            notes[f"{self.name}: event with more than {self.server.slots} candidates, cut"] += int(
                np.count_nonzero(np.diff(inputs.offsets) > self.server.slots)
            )
        return self.server.evaluate(inputs) - momentum

    def manifest_entry(self) -> dict[str, Any]:
        """Its name and the server's address; the server says nothing of a hash of the weights."""
        return super().manifest_entry() | {"url": self.url, "leptons": self.treatment}


def connect(url: str) -> Any:
    """A connection to a server; OptionError without the extra that it takes."""
    try:
        from .triton import Server
    except ImportError as error:
        raise OptionError("a remote network needs the extra triton: pip install 'ptmiss[triton]'") from error
    server = Server(url, {"ssl": encrypted(url)})
    atexit.register(setattr, server, "_client", None)  # while gRPC is still there to close it
    return server
