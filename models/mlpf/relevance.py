"""Gradient times input of an MLPF: how much each element's features say for one candidate.

With y the log-odds of a candidate's class, or the logarithm of its pT over that of its element, and x the standardised
features of all elements of the event, the relevance of feature f of element j is ``x_jf dy/dx_jf``: the first order of
what y would lose if the feature were that of a typical element. Gradients go through attention in all layers. Positions
in the attention stay as they are (compare layer-wise relevance in F. Mokhtar et al., arXiv:2111.12840).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ptmiss.elements import CLASSES, Elements

from .inputs import PackedElements, pack
from .network import Outputs
from .reconstruction import MLPF

LEAST_PT = 1.0  # GeV: softer candidates are not explained
PART = 10_000  # elements that are processed together
QUANTITIES = ("class", "pt")


class Attribution(NamedTuple):
    """Relevance for at most one candidate in each event.

    candidate: number in CLASSES; quantity: of QUANTITIES. rows: (events,) row of the candidate's element, -1 for none.
    pt: (events,) of the candidate, GeV. relevance: (n, F) of each element's features for the candidate of its event.
    """

    candidate: int
    quantity: str
    rows: NDArray[np.int64]
    pt: NDArray[np.float32]
    relevance: NDArray[np.float32]


def attribute(mlpf: MLPF, elements: Elements, rng: np.random.Generator) -> Iterator[tuple[Elements, Attribution]]:
    """Some events at a time: their elements, and the relevance for a random candidate of each class in each event."""
    for where in elements.parts(PART):
        some = elements.events(where)
        for found in attribute_part(mlpf, some, rng):
            yield some, found


def attribute_part(mlpf: MLPF, elements: Elements, rng: np.random.Generator) -> Iterator[Attribution]:
    """The same for a few events, all at once."""
    rows = pack(elements, mlpf.network.schema).to(mlpf.device)
    features = rows.features.clone().requires_grad_()
    rows = rows._replace(features=features)
    outputs = mlpf.network(rows)
    kind, pt = predictions(outputs, rows)
    for candidate in range(1, len(CLASSES)):
        chosen = draw((kind == candidate) & (pt > LEAST_PT), elements.offsets, rng)
        there = chosen[chosen >= 0]
        for quantity in QUANTITIES if len(there) else ():
            value = quantity_of(outputs, torch.from_numpy(there).to(mlpf.device), candidate, quantity).sum()
            (slope,) = torch.autograd.grad(value, features, retain_graph=True)
            relevance = (slope * (features.detach() - mlpf.network.mean)).cpu().numpy()
            yield Attribution(candidate, quantity, chosen, np.where(chosen >= 0, pt[chosen], 0), relevance)


@torch.no_grad()
def predictions(outputs: Outputs, rows: PackedElements) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """(n,) most likely class, and expected pT, GeV."""
    probability = outputs.probability
    pt = outputs.momentum(rows)[0] * (1 - probability[:, 0])
    return probability.argmax(dim=-1).cpu().numpy(), pt.cpu().numpy()


def draw(wanted: NDArray[np.bool_], offsets: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.int64]:
    """(events,) a random row of those wanted in each event, -1 for none."""
    out = np.full(len(offsets) - 1, -1)
    rows = rng.permutation(np.flatnonzero(wanted))
    out[np.searchsorted(offsets, rows, side="right") - 1] = rows
    return out


def quantity_of(outputs: Outputs, rows: Tensor, candidate: int, quantity: str) -> Tensor:
    """(rows,) log-odds of the class, or the logarithm of pT over that of the element."""
    if quantity == "pt":
        return outputs.log_pt[rows]
    logits = outputs.logits[rows]
    others = torch.cat([logits[:, :candidate], logits[:, candidate + 1 :]], dim=1)
    return logits[:, candidate] - others.logsumexp(dim=1)
