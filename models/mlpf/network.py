"""Networks that say of each element what it stands for: all take packed elements, all answer in the same form.

``Transformer`` is ours; ``GraphNetwork`` is the same with the graph layers of 2021 in place of attention; ``Published2021``
and ``PublishedV220`` are the published networks (see presets). Nothing is padded except inside of layout.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from ptmiss.elements import CLASSES, TYPES

from .attention import CARRIED, Attending, EventAttention, Groups, PackedAttention, WindowAttention, Windows
from .configuration import Configuration
from .inputs import Packed, schema
from .lsh import CombinedGraph

SPREADS = (0.05, 0.15, 0.5, None)  # dR of what the heads of a layer look at; the last one looks everywhere
MAX_LOG = 6.0  # of the ratio of energies
MAX_ETA = 6.0


class Outputs(NamedTuple):
    """What a network says of n elements.

    logits: (n, 8) of CLASSES. log_pt, log_energy: (n,) logarithms of the ratios to the element's pt and energy.
    eta: (n,). turn: (n, 2) cosine and sine, up to a common factor, of the angle from the element's phi, None for no
    angle.
    """

    logits: Tensor
    log_pt: Tensor
    log_energy: Tensor
    eta: Tensor
    turn: Tensor | None = None

    @property
    def probability(self) -> Tensor:
        """(n, 8)."""
        return self.logits.softmax(dim=-1)

    def momentum(self, elements: Packed) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Each (n,): pt (GeV), eta, phi and energy (GeV) of what the elements stand for, whatever its probability."""
        pt, energy = (elements.scale * torch.stack([self.log_pt, self.log_energy], -1).exp()).unbind(-1)
        phi = elements.direction[:, 1]
        if self.turn is not None:
            phi = phi + torch.atan2(self.turn[:, 1], self.turn[:, 0])
            phi = phi - 2 * math.pi * torch.round(phi / (2 * math.pi))
        return pt, self.eta, phi, torch.maximum(energy, pt * self.eta.cosh())


class Network(nn.Module):
    """Anything that makes Outputs of Packed: what all networks share."""

    mean: Tensor
    scale: Tensor

    def __init__(self, configuration: Configuration):
        super().__init__()
        self.configuration = configuration
        self.schema = schema(configuration.inputs)
        self.register_buffer("mean", torch.zeros(len(self.schema.features)))
        self.register_buffer("scale", torch.ones(len(self.schema.features)))

    def standardised(self, elements: Packed) -> Tensor:
        """(n, F) features with mean 0 and width 1."""
        return (elements.features - self.mean) / self.scale

    def groups(self, elements: Packed) -> list[Groups]:
        """Which elements see each other in each layer, where not all of an event do."""
        return []

    def parameters_trained(self) -> int:
        """Number of trainable parameters."""
        return sum(p.numel() for p in self.parameters() if p.requires_grad)


class Heads(nn.Module):
    """Class, momentum and, if asked for, direction of each element; at the start it is what was measured."""

    def __init__(self, width: int, hidden: int, angles: bool):
        super().__init__()
        self.angles = angles
        self.classes = perceptron(width, hidden, len(CLASSES))
        self.momentum = perceptron(width, hidden, 5 if angles else 2)
        for parameter in list(self.momentum.parameters())[-2:]:
            nn.init.zeros_(parameter)

    def forward(self, x: Tensor, elements: Packed) -> Outputs:
        """x: (n, width)."""
        logits, momentum = self.classes(x).float(), self.momentum(x).float()
        eta, turn = elements.direction[:, 0], None
        if self.angles:
            eta = (eta + momentum[:, 2]).clamp(-MAX_ETA, MAX_ETA)
            turn = torch.stack([1 + momentum[:, 3], momentum[:, 4]], dim=-1)
        log_pt, log_energy = momentum[:, :2].clamp(-MAX_LOG, MAX_LOG).unbind(-1)
        return Outputs(logits, log_pt, log_energy, eta, turn)


def perceptron(inputs: int, hidden: int, outputs: int) -> nn.Sequential:
    """One hidden layer."""
    return nn.Sequential(nn.Linear(inputs, hidden), nn.GELU(), nn.Linear(hidden, outputs))


class Attention(nn.Module):
    """Heads whose queries and keys leave room for the distance."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads, self.depth = heads, width // heads
        self.content = self.depth - CARRIED
        self.project = nn.Linear(width, heads * (2 * self.content + self.depth))
        self.out = nn.Linear(width, width)

    def forward(self, x: Tensor, elements: Attending) -> Tensor:
        """(n, width)."""
        sizes = [self.content, self.content, self.depth]
        query, key, value = self.project(x).unflatten(-1, (self.heads, sum(sizes))).split(sizes, dim=-1)
        return self.out(elements.attend(query / math.sqrt(self.content), key, value).flatten(1))


class Layer(nn.Module):
    """A pre-norm transformer layer: what is added to the raw x is made of the normalised one."""

    def __init__(self, width: int, heads: int, hidden: int):
        super().__init__()
        self.attention, self.feed = Attention(width, heads), perceptron(width, hidden, width)
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)

    def forward(self, x: Tensor, elements: Attending) -> Tensor:
        """(n, width)."""
        x = x + self.attention(self.norm1(x), elements)
        return x + self.feed(self.norm2(x))


class Transformer(Network):
    """Ours: a small encoder, pre-norm layers whose heads see near elements, heads that begin with what was measured."""

    def __init__(self, configuration: Configuration):
        super().__init__(configuration)
        c = configuration
        self.encoder = perceptron(len(self.schema.features), c.hidden, c.width)
        self.layers = nn.ModuleList(Layer(c.width, c.heads, c.hidden) for _ in range(c.layers))
        self.norm = nn.LayerNorm(c.width)
        self.answer = Heads(c.width, c.hidden, c.angles)

    def forward(self, elements: Packed) -> Outputs:
        """Of packed elements."""
        x = self.encoder(self.standardised(elements))
        views = self.views(elements)
        for i, layer in enumerate(self.layers):
            x = layer(x, views[i % len(views)])
        return self.answer(self.norm(x), elements)

    def views(self, elements: Packed) -> Sequence[Attending]:
        """What the layers see, in turn."""
        c, heads = self.configuration, spreads(self.configuration)
        if c.attention == "exact":
            return [EventAttention.of(elements.offsets, elements.position, heads)]
        plain, shifted = elements.order
        cuts = [(plain, 0), (shifted, 0), (plain, c.window // 2)][: c.layers]
        windows = [Windows.of(order, elements.offsets, c.window, shift) for order, shift in cuts]
        return [WindowAttention.of(w, elements.position, heads) for w in windows]

    def groups(self, elements: Packed) -> list[Groups]:
        """The windows of each layer."""
        views = self.views(elements)
        seen = (views[i % len(views)] for i in range(len(self.layers)))
        return [view.windows.groups() for view in seen if isinstance(view, WindowAttention)]


def spreads(configuration: Configuration) -> list[float | None]:
    """What each head of a layer looks at, see SPREADS."""
    return [SPREADS[head % len(SPREADS)] for head in range(configuration.heads)]


class GraphNetwork(Network):
    """Ours with combined-graph layers in place of attention."""

    def __init__(self, configuration: Configuration):
        super().__init__(configuration)
        c = configuration
        self.encoder = perceptron(len(self.schema.features), c.hidden, c.width)
        self.layers = nn.ModuleList(
            CombinedGraph(c.width, c.width, c.window, c.hidden, messages=2) for _ in range(c.layers)
        )
        self.norms = nn.ModuleList(nn.LayerNorm(c.width) for _ in range(c.layers + 1))
        self.answer = Heads(c.width, c.hidden, c.angles)

    def forward(self, elements: Packed) -> Outputs:
        """Of packed elements."""
        x = self.encoder(self.standardised(elements))
        for norm, layer in zip(self.norms, self.layers, strict=False):
            x = x + layer(norm(x), elements.offsets)
        return self.answer(self.norms[-1](x), elements)

    def groups(self, elements: Packed) -> list[Groups]:
        """The learned bins of each layer and the edges in them."""
        x, found = self.encoder(self.standardised(elements)), []
        for norm, layer in zip(self.norms, self.layers, strict=False):
            assert isinstance(layer, CombinedGraph)
            bins, graph = layer.bins(norm(x), elements.offsets)
            found.append(bins.groups(graph))
            x = x + layer(norm(x), elements.offsets)
        return found


def decoder(*widths: int) -> nn.Sequential:
    """Linear layers with ELU between them."""
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(widths):
        layers += [nn.Linear(inputs, outputs), nn.ELU()]
    return nn.Sequential(*layers[:-1])


class Published2021(Network):
    """The GNN-LSH of CMS at ACAT 2021: three graph layers for all, two more for energies, decoders on all of them.

    Its 55 inputs are CMS's of today, which are as many as were derived of 25 in 2021. What was appended twice by mistake
    there is so here, for the count's sake.
    """

    def __init__(self, configuration: Configuration):
        super().__init__(configuration)
        inputs, width, classes = len(self.schema.features), 64, len(CLASSES)
        sizes = [inputs, width, width]
        self.common = nn.ModuleList(CombinedGraph(size, width) for size in sizes)
        self.energetic = nn.ModuleList(CombinedGraph(size, width) for size in sizes[:2])
        joint, beside = inputs + 3 * width, 4 * width
        self.norm, self.energy_norm = nn.LayerNorm(joint), nn.LayerNorm(beside)
        self.kind = decoder(joint, 512, 256, 128, classes)
        self.charge = decoder(joint + classes, 256, 128, 1)
        self.eta = decoder(joint + classes, 256, 128, 2)
        self.phi = decoder(joint + classes, 256, 128, 4)
        self.energy = decoder(joint + beside + classes, 256, 128, 64, 1)
        self.pt = decoder(joint + beside + classes, 256, 128, 2)

    def forward(self, elements: Packed) -> Outputs:
        """Of packed elements."""
        x = self.standardised(elements)
        joint = self.norm(torch.cat([x, *self.passed(self.common, x, elements)], dim=-1))
        energies = self.passed(self.energetic, x, elements)
        beside = self.energy_norm(torch.cat([energies[0], energies[0], energies[1], energies[1]], dim=-1))
        logits = self.kind(joint)
        seen = torch.cat([joint, logits.detach()], dim=-1)
        log_energy = self.energy(torch.cat([seen, beside], dim=-1))[:, 0].float().clamp(-MAX_LOG, MAX_LOG)
        return Outputs(
            logits.float(),
            self.log_pt(torch.cat([seen, beside], dim=-1), log_energy, elements),
            log_energy,
            shifted(self.eta(seen).float(), elements),
            turned(self.phi(seen).float(), elements),
        )

    @staticmethod
    def passed(layers: nn.ModuleList, x: Tensor, elements: Packed) -> list[Tensor]:
        """What each layer makes of the one before."""
        out = []
        for layer in layers:
            x = layer(x, elements.offsets)
            out.append(x)
        return out

    def log_pt(self, seen: Tensor, log_energy: Tensor, elements: Packed) -> Tensor:
        """Of ``a E / cosh eta + b``, as a logarithm of the ratio to the element's pt."""
        a, b = self.pt(seen).float().unbind(-1)
        pt, energy = elements.scale.unbind(-1)
        massless = energy * log_energy.detach().exp() / elements.direction[:, 0].cosh()
        ratio = ((1 + a) * massless + b) / pt.clamp(min=1e-3)
        return functional.softplus(ratio, beta=10).clamp(math.exp(-MAX_LOG), math.exp(MAX_LOG)).log()


def shifted(additive: Tensor, elements: Packed) -> Tensor:
    """Eta as ``v (1 + n0) + n1`` of the element's v; additive: (n, 2)."""
    eta = elements.direction[:, 0]
    return (eta * (1 + additive[:, 0]) + additive[:, 1]).clamp(-MAX_ETA, MAX_ETA)


def turned(linear: Tensor, elements: Packed) -> Tensor:
    """(n, 2) cosine and sine of the angle to a direction whose sine and cosine are ``v (1 + n0) + n1`` of the element's."""
    phi = elements.direction[:, 1]
    sin, cos = phi.sin(), phi.cos()
    new_sin, new_cos = sin * (1 + linear[:, 0]) + linear[:, 1], cos * (1 + linear[:, 2]) + linear[:, 3]
    return torch.stack([new_cos * cos + new_sin * sin, new_sin * cos - new_cos * sin], dim=-1)


class Block(nn.Sequential):
    """Linear, ReLU, norm, linear: the feed-forward block of v2.2.0."""

    def __init__(self, inputs: int, width: int, outputs: int):
        super().__init__(nn.Linear(inputs, width), nn.ReLU(), nn.LayerNorm(width), nn.Linear(width, outputs))


class PerType(nn.Module):
    """A block for each type of elements; each element goes through its own."""

    def __init__(self, kinds: int, inputs: int, width: int, outputs: int):
        super().__init__()
        self.outputs = outputs
        self.blocks = nn.ModuleList(Block(inputs, width, outputs) for _ in range(kinds))

    def forward(self, x: Tensor, types: Tensor) -> Tensor:
        """(n, outputs) of (n, inputs) and types (n,)."""
        out = x.new_zeros(len(x), self.outputs)
        for number, block in enumerate(self.blocks):
            (rows,) = (types == number).nonzero(as_tuple=True)
            if len(rows):
                out = out.index_copy(0, rows, block(x[rows]).to(out.dtype))
        return out


class LayerV220(nn.Module):
    """Attention and feed-forward as in v2.2.0, where the normalised x goes on in place of the raw one."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.query, self.key, self.value, self.out = (nn.Linear(width, width) for _ in range(4))
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.first, self.second = nn.Linear(width, width), nn.Linear(width, width)

    def forward(self, x: Tensor, asked: Tensor | None, elements: Attending) -> Tensor:
        """(n, width); asked: what queries are made of, None for x itself."""
        x = self.norm1(x)
        query, key, value = self.query(x if asked is None else asked), self.key(x), self.value(x)
        q, k, v = (y.unflatten(-1, (self.heads, y.shape[-1] // self.heads)) for y in (query, key, value))
        y = x + self.out(elements.attend(q / math.sqrt(q.shape[-1]), k, v).flatten(1))
        return y + functional.relu(self.second(functional.relu(self.first(self.norm2(y)))))


class StackV220(nn.Module):
    """An encoder for each type, and layers; the last one asks with what was encoded."""

    def __init__(self, kinds: int, inputs: int, width: int, heads: int, layers: int):
        super().__init__()
        self.encoder = PerType(kinds, inputs, width, width)
        self.layers = nn.ModuleList(LayerV220(width, heads) for _ in range(layers))
        self.norm = nn.LayerNorm(width)

    def forward(self, x: Tensor, types: Tensor, elements: Attending) -> Tensor:
        """(n, width) of (n, inputs)."""
        x = encoded = self.encoder(x, types)
        for i, layer in enumerate(self.layers):
            x = layer(x, encoded if i + 1 == len(self.layers) else None, elements)
        return self.norm(x)


class PublishedV220(Network):
    """The transformer of v2.2.0 for CMS: stacks for classes and for regression, encoders and energy heads for each type.

    Of its nine classes the first and the last stand for no particle of ours and are left out; padding does not leak, for
    there is none.
    """

    KINDS, IDS, WIDTH, HEADS, LAYERS = 8, 9, 256, 16, 3
    row: Tensor
    PRESENT = (1, 4, 5, 6, 8, 9, 10, 11)  # CMS's types of elements

    def __init__(self, configuration: Configuration):
        super().__init__(configuration)
        inputs, width = len(self.schema.features), self.WIDTH
        shape = (self.KINDS, inputs, width, self.HEADS, self.LAYERS)
        self.identification, self.regression = StackV220(*shape), StackV220(*shape)
        self.particle, self.kind = Block(width, width, 2), Block(width, width, self.IDS)
        self.pt, self.energy = (PerType(self.KINDS, width, width, 1) for _ in range(2))
        self.eta, self.sin, self.cos = (Block(width, width, 2) for _ in range(3))
        self.register_buffer("row", torch.tensor([self.PRESENT.index(t) for t in TYPES]), persistent=False)

    def forward(self, elements: Packed) -> Outputs:
        """Of packed elements."""
        x, types = self.standardised(elements), self.row[elements.types]
        view = self.view(elements)
        named, measured = self.identification(x, types, view), self.regression(x, types, view)
        particle = self.particle(named).float().log_softmax(dim=-1)
        kind = self.kind(named).float()[:, 1 : len(CLASSES)].log_softmax(dim=-1)
        angles = torch.cat([self.sin(measured), self.cos(measured)], dim=-1).float()
        return Outputs(
            torch.cat([particle[:, :1], particle[:, 1:] + kind], dim=-1),
            self.pt(measured, types)[:, 0].float().clamp(-MAX_LOG, MAX_LOG),
            self.energy(measured, types)[:, 0].float().clamp(-MAX_LOG, MAX_LOG),
            shifted(self.eta(measured).float(), elements),
            turned(angles, elements),
        )

    @staticmethod
    def view(elements: Packed) -> Attending:
        """All elements of an event see each other: in one call on CUDA, one event at a time elsewhere."""
        if elements.features.is_cuda:
            return PackedAttention(elements.offsets)
        return EventAttention.of(elements.offsets, elements.position, None)


NETWORKS = {
    "transformer": Transformer,
    "graph": GraphNetwork,
    "published-2021": Published2021,
    "published-v2.2.0": PublishedV220,
}


def build(configuration: Configuration) -> Network:
    """A fresh network."""
    return NETWORKS[configuration.network](configuration)
