"""Fine-tuning: a fresh network begins with the weights of another, which may read other features.

The layers behind the encoder and the heads, which do not depend on the features, are those of the other network. If all
of its features are among the new ones, the encoder keeps its weights for them and has zeros for those that are added:
the first answers are those of the other network. Otherwise the encoder is new, and has to be learnt.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from ptmiss.errors import OptionError

from .network import Network

FIRST, MOMENTS = "encoder.0.weight", ("mean", "scale")
FREE = ("inputs", "attention")
"""What may differ from the network to begin with."""


def check(start: Network, inputs: str | None) -> None:
    """Raise OptionError if a network cannot go on with a list of features, None for its own."""
    if inputs not in (None, start.configuration.inputs) and not hasattr(start, "encoder"):
        kind = start.configuration.network
        raise OptionError(
            f"--inputs {inputs}: a network {kind} has no encoder of its own and goes on with "
            f"{start.configuration.inputs}; a transformer or graph network can change"
        )


def carry_over(start: Network, network: Network) -> NDArray[np.bool_]:
    """Give a fresh network the weights of another; returns which of its features, (F,), have no moments yet."""
    before, now = list(start.schema.features), list(network.schema.features)
    tensors, own = start.state_dict(), network.state_dict()
    if before == now:
        network.load_state_dict(tensors)
        return np.zeros(len(now), np.bool_)
    new = np.array([feature not in before for feature in now])
    kept = {name: value for name, value in tensors.items() if not name.startswith("encoder.") and name not in MOMENTS}
    if set(before) <= set(now):
        columns = torch.tensor([now.index(feature) for feature in before])
        kept |= {name: value for name, value in tensors.items() if name.startswith("encoder.")}
        kept[FIRST] = torch.zeros_like(own[FIRST]).index_copy(1, columns, tensors[FIRST])
        kept |= {name: own[name].index_copy(0, columns, tensors[name]) for name in MOMENTS}
    else:
        new[:] = True
    network.load_state_dict(own | kept)
    return new
