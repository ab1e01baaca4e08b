"""Inference servers of the V2 protocol: addresses, encryption, tokens, retries, and requests in two layouts.

``ptmiss models serve-layout`` writes what such a server serves. The layouts are known by their inputs: ``features`` and
``categories`` of one event a request, and CMS's padded slots, of many events.

TLS is on, but for servers on this machine; PTMISS_TRITON_TLS (``on`` or ``off``) decides otherwise. A token in
PTMISS_TRITON_TOKEN is sent as ``Authorization: Bearer …``, and never without TLS to another machine. A server that does
not answer is asked again, RETRIES times; then the chunk fails as one that could not be read.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ptmiss.candidates import CATEGORIES, VOCABULARY
from ptmiss.errors import OptionError
from ptmiss.networks.features import FEATURES, SCALE
from ptmiss.networks.inputs import Inputs, within
from ptmiss.typing import Vector

TLS, TOKEN = "PTMISS_TRITON_TLS", "PTMISS_TRITON_TOKEN"
ADDRESS = re.compile(r"triton\+grpc://(?P<host>[^/\s:]+):(?P<port>\d+)/(?P<model>[\w.-]+)/(?P<version>[\w.-]*)")
LOCAL = re.compile(r"localhost|127(\.\d+){3}")
RETRIES, PAUSE, TIMEOUT = 5, 0.2, 30.0  # s: the pause doubles, the timeout is of one request
LARGEST = 3_500_000  # bytes of a request in CMS's layout: gRPC servers take 4 MB if nobody tells them otherwise
PACKED, PADDED = {"features", "categories"}, {"input", "input_cat0", "input_cat1", "input_cat2"}
OUTPUTS = {"met": PACKED, "output/BiasAdd": PADDED}
PASSING = ("UNAVAILABLE", "DEADLINE_EXCEEDED", "ABORTED", "CANCELLED", "UNKNOWN")
SIZES = tuple(len(VOCABULARY[category]) for category in CATEGORIES)


def packed(server: Any, inputs: Inputs) -> Vector:
    """(events, 2) pTmiss, GeV, an event a request; NaN without candidates, of which a server cannot be asked."""
    features, categories = physical(inputs)
    out = np.full((len(inputs.offsets) - 1, 2), np.nan)
    for event, (start, stop) in enumerate(pairwise(inputs.offsets)):
        if stop > start:
            given: dict[str, NDArray] = {"features": features[start:stop], "categories": categories[start:stop]}
            out[event] = np.ravel(server.run_infer(*requests(server, given)).as_numpy("met"))
    return out


def requests(server: Any, given: Mapping[str, NDArray]) -> tuple[list[Any], list[Any]]:
    """Inputs and outputs of a request."""
    inputs = []
    for name, values in given.items():
        asked = server.pmod.InferInput(name, list(values.shape), server.model_inputs[name]["datatype"])
        inputs.append(asked.set_data_from_numpy(np.ascontiguousarray(values)))
    return inputs, [server.pmod.InferRequestedOutput(server.output)]


def padded(server: Any, inputs: Inputs) -> Vector:
    """(events, 2) pTmiss, GeV, of CMS's layout: momenta in units of 50 GeV, slots without a candidate are zero."""
    inputs = inputs.keep(within(server.slots, inputs.offsets))
    n, counts = len(inputs.offsets) - 1, np.diff(inputs.offsets)
    event = np.repeat(np.arange(n), counts)
    slot = np.arange(inputs.offsets[-1]) - np.repeat(inputs.offsets[:-1], counts)
    _, categories = physical(inputs)
    out, batch = [], max(1, LARGEST // (4 * server.slots * (len(FEATURES) + len(CATEGORIES))))
    for first in range(0, n, batch):
        here = (event >= first) & (event < first + batch)
        size = min(batch, n - first)
        place = event[here] - first, slot[here]
        given: dict[str, NDArray] = {"input": np.zeros((size, server.slots, len(FEATURES)), np.float32)}
        given["input"][place] = inputs.features[here]
        for i in range(len(CATEGORIES)):
            given[f"input_cat{i}"] = np.zeros((size, server.slots, 1), np.float32)
            given[f"input_cat{i}"][place] = categories[here, i : i + 1]
        out.append(server.run_infer(*requests(server, given)).as_numpy(server.output))
    return SCALE * np.concatenate(out).astype(np.float64) if out else np.zeros((0, 2))


def physical(inputs: Inputs) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """(n, 8) features in GeV and cm, and (n, 3) indices of the categories."""
    scale = np.where(np.isin(FEATURES, ("pt", "px", "py")), SCALE, 1).astype(np.float32)
    return inputs.features * scale, np.stack(np.unravel_index(inputs.rows, SIZES), axis=1).astype(np.int64)


def ask_server(url: str, ask: Any) -> Any:
    """The answer of a server; asked again while it does not answer.

    ConnectionError after the last attempt, OptionError if it answers that the request is wrong.
    """
    from tritonclient.utils import InferenceServerException

    for attempt in range(RETRIES + 1):
        try:
            return ask()
        except InferenceServerException as error:
            status, said = str(error.status() or "UNKNOWN"), str(error.message()).splitlines()[0]
            if not any(passing in status for passing in PASSING):
                raise OptionError(f"{url}: {said}") from None
            if attempt == RETRIES:
                raise ConnectionError(f"{url} does not answer: {said}") from None
            time.sleep(PAUSE * 2**attempt)
    return None


def encrypted(url: str) -> bool:
    """Whether the connection is encrypted: not to this machine, unless PTMISS_TRITON_TLS says otherwise."""
    chosen = os.environ.get(TLS, "")
    if chosen not in ("", "on", "off"):
        raise OptionError(f"{TLS}={chosen}: expected on or off")
    found = ADDRESS.fullmatch(url)
    return chosen == "on" if chosen else not (found and LOCAL.fullmatch(found["host"]))


def headers(url: str) -> dict[str, str] | None:
    """The token, if there is one; OptionError where it would go to another machine in the clear."""
    token, found = os.environ.get(TOKEN, ""), ADDRESS.fullmatch(url)
    if token and not encrypted(url) and not (found and LOCAL.fullmatch(found["host"])):
        raise OptionError(f"{url}: a token ({TOKEN}) is not sent to another machine without TLS")
    return {"authorization": f"Bearer {token}"} if token else None
