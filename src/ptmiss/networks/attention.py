"""A DeepMET in which each candidate attends to its neighbours, from a weights file alone, compiled.

It has the layers and features of a DeepMET with sums over neighbours. From the outputs of the first layer come a query,
a key and a value of each candidate. The score of a neighbour is the product of query and key, and a part that a small
network makes of features of the pair (arXiv:2202.03772). The message is the mean of the neighbours' values and of what
the small network found, by softmax of the score, in each head; it is added to the inputs of the second layer.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ptmiss.errors import WeightsError
from ptmiss.networks.deepmet import CONTEXT, DeepMET, thread_pools
from ptmiss.networks.features import FEATURES, HEADS, HIDDEN, NEIGHBOURS, PAIRS, WIDTH
from ptmiss.networks.inputs import Inputs
from ptmiss.networks.weights import Tensors, check_shapes

PREFIX = "attention."
HEARD = "heard"  # attribute of inputs whose surroundings are those of other inputs


def attention_shapes(first: int, second: int) -> dict[str, tuple[int, ...]]:
    """Name and shape of the tensors of the attention; first, second: widths of the DeepMET's layers."""
    return {
        "attention.query.kernel": (first, WIDTH),
        "attention.query.bias": (WIDTH,),
        "attention.memory.kernel": (first, 2 * WIDTH),
        "attention.memory.bias": (2 * WIDTH,),
        "attention.pair.kernel": (len(PAIRS), HIDDEN),
        "attention.pair.bias": (HIDDEN,),
        "attention.head": (HIDDEN, HEADS),
        "attention.output": (WIDTH + HEADS * HIDDEN, second),
    }


@dataclass(frozen=True)
class Attention:
    """A DeepMET with attention, see the module; one weight and two biases a candidate, and pTmiss as DeepMET has it.

    It runs compiled with every backend, and takes fifteen times as long as a DeepMET.
    """

    tensors: Tensors = field(repr=False)
    padding: int = 0
    name: str = "attention"
    architecture = "attention"
    features = (*FEATURES, *NEIGHBOURS, *PAIRS)
    sees_neighbours = True
    latents = 0

    def __post_init__(self) -> None:
        if self.padding:
            raise WeightsError(f"model {self.name!r}: padding and attention exclude each other")
        own = {name: t for name, t in self.tensors.items() if name == CONTEXT or name.startswith(PREFIX)}
        first, second = (self.deepmet.tensors[f"dense{layer}.bias"].size for layer in (1, 2))
        sums = {CONTEXT: (len(NEIGHBOURS), first)}
        check_shapes(self.name, own, attention_shapes(first, second) | sums)

    @cached_property
    def deepmet(self) -> DeepMET:
        """The network without attention."""
        return DeepMET({name: t for name, t in self.tensors.items() if not name.startswith(PREFIX)}, 0, self.name)

    @property
    def parameters(self) -> int:
        """Number of trainable parameters."""
        own = sum(t.size for name, t in self.tensors.items() if name.startswith(PREFIX))
        return self.deepmet.parameters + own

    def evaluate(self, inputs: Inputs) -> NDArray[np.float32]:
        """(events, 2) pTmiss, GeV."""
        return self.total(self.add(inputs, self.outputs(inputs)), np.diff(inputs.offsets))

    def outputs(self, inputs: Inputs) -> NDArray[np.float32]:
        """(n, 3) ``w bx by`` of every candidate."""
        from ptmiss.networks import kernels

        model = self.deepmet
        heard = vars(inputs)[HEARD] if HEARD in vars(inputs) else self.heard(inputs)
        layers, context = model.compiled_layers, model.context(inputs)
        return kernels.weights(inputs.features, inputs.rows, layers, context, None, heard)

    def heard(self, inputs: Inputs) -> NDArray[np.float32]:
        """(n, 32) what each candidate's second layer is given by its neighbours."""
        from ptmiss.networks import messages
        from ptmiss.networks.neighbours import class_of_row

        kinds, model = class_of_row()[inputs.rows], self.deepmet
        arrays = inputs.features, inputs.rows, kinds, inputs.offsets
        with thread_pools().limit(limits=1, user_api="blas"):
            return messages.hear(*arrays, model.compiled_layers, model.context(inputs), self._layers)

    def momentum_weights(self, outputs: NDArray[np.float32]) -> NDArray[np.float64]:
        """(n,) factor with which minus the momentum of every candidate counts in pTmiss; outputs: (n, 3)."""
        return self.deepmet.momentum_weights(outputs)

    def add(self, inputs: Inputs, outputs: NDArray[np.float32]) -> NDArray[np.float64]:
        """(events, 4) sums of ``(w - 1) (bx, by, px / 50, py / 50)`` over the candidates; outputs: (n, 3)."""
        return self.deepmet.add(inputs, outputs)

    def total(self, sums: NDArray[np.float64], counts: NDArray[np.integer]) -> NDArray[np.float32]:
        """(events, 2) pTmiss, GeV, of the sums over candidates, (events, 4), and their number, (events,)."""
        return self.deepmet.total(sums, counts)

    @cached_property
    def _layers(self) -> tuple[Any, ...]:
        """The attention as ptmiss.networks.messages takes it."""
        from ptmiss.networks.lanes import padded

        own = {name.removeprefix(PREFIX): t for name, t in self.tensors.items() if name.startswith(PREFIX)}
        query, memory = ((padded(own[f"{name}.kernel"], 0), own[f"{name}.bias"]) for name in ("query", "memory"))
        return query, memory, (own["pair.kernel"], own["pair.bias"], own["head"]), padded(own["output"], 1)
