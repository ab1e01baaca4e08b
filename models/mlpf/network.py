"""Networks that predict the particle behind each element: from PackedElements to Outputs.

``Transformer`` is this project's network. ``GraphNetwork`` is the same with graph layers of 2021 in place of attention.
``Published2021`` and ``PublishedV220`` are published networks (see configuration.PRESETS). Only attention pads.
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

from .attention import CARRIED, EventAttention, Groups, PackedAttention, View, WindowAttention, Windows
from .configuration import Configuration
from .inputs import PackedElements, schema
from .lsh import CombinedGraph

SPREADS = (0.05, 0.15, 0.5, None)  # range in dR of the heads of a layer; the last one looks everywhere
MAX_LOG = 6.0  # largest logarithm of the ratio of energies
MAX_ETA = 6.0


class Outputs(NamedTuple):
    """The predictions of a network for n elements.

    logits: (n, 8) of CLASSES. log_pt, log_energy: (n,) logarithms of the ratios to the element's pt and energy. eta:
    (n,). turn: (n, 2) cosine and sine, up to a common factor, of the angle to the element's phi; None for phi itself.
    latents: (n, width) what the heads make all this of; None for the published networks.
    """

    logits: Tensor
    log_pt: Tensor
    log_energy: Tensor
    eta: Tensor
    turn: Tensor | None = None
    latents: Tensor | None = None

    @property
    def probability(self) -> Tensor:
        """(n, 8) probability of each class."""
        return self.logits.softmax(dim=-1)

    def momentum(self, elements: PackedElements) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """(n,) each: pt (GeV), eta, phi and energy (GeV), if there is a particle."""
        pt, energy = (elements.scale * torch.stack([self.log_pt, self.log_energy], -1).exp()).unbind(-1)
        phi = elements.direction[:, 1]
        if self.turn is not None:
            phi = phi + torch.atan2(self.turn[:, 1], self.turn[:, 0])
            phi = phi - 2 * math.pi * torch.round(phi / (2 * math.pi))
        return pt, self.eta, phi, torch.maximum(energy, pt * self.eta.cosh())


class Network(nn.Module):
    """Base of all networks: schema, standardisation, configuration."""

    mean: Tensor
    scale: Tensor

    def __init__(self, configuration: Configuration):
        super().__init__()
        self.configuration = configuration
        self.schema = schema(configuration.inputs)
        self.register_buffer("mean", torch.zeros(len(self.schema.features)))
        self.register_buffer("scale", torch.ones(len(self.schema.features)))

    def standardise(self, elements: PackedElements) -> Tensor:
        """(n, F) features with mean 0 and width 1."""
        return (elements.features - self.mean) / self.scale

    def groups(self, elements: PackedElements) -> list[Groups]:
        """The elements that see each other in each layer; empty if all of an event do."""
        return []

    @property
    def latents(self) -> int:
        """Number of latents of each element; 0 for a network that gives none."""
        return 0

    def count_parameters(self) -> int:
        """Number of trainable parameters."""
        return sum(p.numel() for p in self.parameters() if p.requires_grad)


class Heads(nn.Module):
    """Class, momentum and optionally direction of each element. A fresh network predicts the measured momentum."""

    def __init__(self, width: int, hidden: int, angles: bool):
        super().__init__()
        self.angles = angles
        self.classes = perceptron(width, hidden, len(CLASSES))
        self.momentum = perceptron(width, hidden, 5 if angles else 2)
        for parameter in list(self.momentum.parameters())[-2:]:
            nn.init.zeros_(parameter)

    def forward(self, x: Tensor, elements: PackedElements) -> Outputs:
        """Outputs for x (n, width)."""
        logits, momentum = self.classes(x).float(), self.momentum(x).float()
        eta, turn = elements.direction[:, 0], None
        if self.angles:
            eta = (eta + momentum[:, 2]).clamp(-MAX_ETA, MAX_ETA)
            turn = torch.stack([1 + momentum[:, 3], momentum[:, 4]], dim=-1)
        log_pt, log_energy = momentum[:, :2].clamp(-MAX_LOG, MAX_LOG).unbind(-1)
        return Outputs(logits, log_pt, log_energy, eta, turn, x)


def perceptron(inputs: int, hidden: int, outputs: int) -> nn.Sequential:
    """A perceptron with one hidden layer."""
    return nn.Sequential(nn.Linear(inputs, hidden), nn.GELU(), nn.Linear(hidden, outputs))


class Attention(nn.Module):
    """Multi-head attention whose queries and keys have four components fewer, which are those of the distance."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads, self.depth = heads, width // heads
        self.content = self.depth - CARRIED
        self.project = nn.Linear(width, heads * (2 * self.content + self.depth))
        self.out = nn.Linear(width, width)

    def forward(self, x: Tensor, elements: View) -> Tensor:
        """(n, width)."""
        sizes = [self.content, self.content, self.depth]
        query, key, value = self.project(x).unflatten(-1, (self.heads, sum(sizes))).split(sizes, dim=-1)
        return self.out(elements.attend(query / math.sqrt(self.content), key, value).flatten(1))


class Layer(nn.Module):
    """A pre-norm transformer layer: attention and feed-forward part act on the normalised x, and are added to x."""

    def __init__(self, width: int, heads: int, hidden: int):
        super().__init__()
        self.attention, self.feed = Attention(width, heads), perceptron(width, hidden, width)
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)

    def forward(self, x: Tensor, elements: View) -> Tensor:
        """(n, width)."""
        x = x + self.attention(self.norm1(x), elements)
        return x + self.feed(self.norm2(x))


class Transformer(Network):
    """This project's network: an encoder, pre-norm layers whose heads prefer near elements, and output heads."""

    def __init__(self, configuration: Configuration):
        super().__init__(configuration)
        c = configuration
        self.encoder = perceptron(len(self.schema.features), c.hidden, c.width)
        self.layers = nn.ModuleList(Layer(c.width, c.heads, c.hidden) for _ in range(c.layers))
        self.norm = nn.LayerNorm(c.width)
        self.answer = Heads(c.width, c.hidden, c.angles)

    def forward(self, elements: PackedElements) -> Outputs:
        """The outputs for packed elements."""
        x = self.encoder(self.standardise(elements))
        views = self.views(elements)
        for i, layer in enumerate(self.layers):
            x = layer(x, views[i % len(views)])
        return self.answer(self.norm(x), elements)

    @property
    def latents(self) -> int:
        """Number of latents of each element."""
        return self.configuration.width

    def views(self, elements: PackedElements) -> Sequence[View]:
        """The views of the layers, used in turn."""
        c, heads = self.configuration, spreads(self.configuration)
        if c.attention == "exact":
            return [EventAttention.of(elements.offsets, elements.position, heads)]
        plain, shifted = elements.order
        cuts = [(plain, 0), (shifted, 0), (plain, c.window // 2)][: c.layers]
        windows = [Windows.of(order, elements.offsets, c.window, shift) for order, shift in cuts]
        return [WindowAttention.of(w, elements.position, heads) for w in windows]

    def groups(self, elements: PackedElements) -> list[Groups]:
        """The windows of each layer."""
        views = self.views(elements)
        seen = (views[i % len(views)] for i in range(len(self.layers)))
        return [view.windows.groups() for view in seen if isinstance(view, WindowAttention)]


def spreads(configuration: Configuration) -> list[float | None]:
    """The range in dR of each head of a layer, see SPREADS."""
    return [SPREADS[head % len(SPREADS)] for head in range(configuration.heads)]


class GraphNetwork(Network):
    """The transformer with combined-graph layers in place of attention."""

    def __init__(self, configuration: Configuration):
        super().__init__(configuration)
        c = configuration
        self.encoder = perceptron(len(self.schema.features), c.hidden, c.width)
        self.layers = nn.ModuleList(
            CombinedGraph(c.width, c.width, c.window, c.hidden, messages=2) for _ in range(c.layers)
        )
        self.norms = nn.ModuleList(nn.LayerNorm(c.width) for _ in range(c.layers + 1))
        self.answer = Heads(c.width, c.hidden, c.angles)

    def forward(self, elements: PackedElements) -> Outputs:
        """The outputs for packed elements."""
        x = self.encoder(self.standardise(elements))
        for norm, layer in zip(self.norms, self.layers, strict=False):
            x = x + layer(norm(x), elements.offsets)
        return self.answer(self.norms[-1](x), elements)

    @property
    def latents(self) -> int:
        """Number of latents of each element."""
        return self.configuration.width

    def groups(self, elements: PackedElements) -> list[Groups]:
        """The learned bins of each layer and the edges in them."""
        x, found = self.encoder(self.standardise(elements)), []
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
    """The GNN-LSH of CMS at ACAT 2021: three graph layers, two more for energies, and decoders on all of them.

    Its 55 inputs are those of CMS today; in 2021 as many were derived from 25. The published code appends some outputs
    twice by mistake. They are twice here too, so that the number of parameters is the published one.
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

    def forward(self, elements: PackedElements) -> Outputs:
        """The outputs for packed elements."""
        x = self.standardise(elements)
        joint = self.norm(torch.cat([x, *self.run_layers(self.common, x, elements)], dim=-1))
        energies = self.run_layers(self.energetic, x, elements)
        beside = self.energy_norm(torch.cat([energies[0], energies[0], energies[1], energies[1]], dim=-1))
        logits = self.kind(joint)
        seen = torch.cat([joint, logits.detach()], dim=-1)
        log_energy = self.energy(torch.cat([seen, beside], dim=-1))[:, 0].float().clamp(-MAX_LOG, MAX_LOG)
        return Outputs(
            logits.float(),
            self.log_pt(torch.cat([seen, beside], dim=-1), log_energy, elements),
            log_energy,
            shift_eta(self.eta(seen).float(), elements),
            turn_phi(self.phi(seen).float(), elements),
        )

    @staticmethod
    def run_layers(layers: nn.ModuleList, x: Tensor, elements: PackedElements) -> list[Tensor]:
        """The output of each layer, (n, width), of a chain of layers."""
        out = []
        for layer in layers:
            x = layer(x, elements.offsets)
            out.append(x)
        return out

    def log_pt(self, seen: Tensor, log_energy: Tensor, elements: PackedElements) -> Tensor:
        """(n,) logarithm of the ratio of ``a E / cosh eta + b`` to the element's pt."""
        a, b = self.pt(seen).float().unbind(-1)
        pt, energy = elements.scale.unbind(-1)
        massless = energy * log_energy.detach().exp() / elements.direction[:, 0].cosh()
        ratio = ((1 + a) * massless + b) / pt.clamp(min=1e-3)
        return functional.softplus(ratio, beta=10).clamp(math.exp(-MAX_LOG), math.exp(MAX_LOG)).log()


def shift_eta(additive: Tensor, elements: PackedElements) -> Tensor:
    """(n,) eta as ``v (1 + n0) + n1``, with v that of the element and n (n, 2) from the network."""
    eta = elements.direction[:, 0]
    return (eta * (1 + additive[:, 0]) + additive[:, 1]).clamp(-MAX_ETA, MAX_ETA)


def turn_phi(linear: Tensor, elements: PackedElements) -> Tensor:
    """(n, 2) cosine and sine of the predicted phi less the element's; sine and cosine are ``v (1 + n0) + n1``."""
    phi = elements.direction[:, 1]
    sin, cos = phi.sin(), phi.cos()
    new_sin, new_cos = sin * (1 + linear[:, 0]) + linear[:, 1], cos * (1 + linear[:, 2]) + linear[:, 3]
    return torch.stack([new_cos * cos + new_sin * sin, new_sin * cos - new_cos * sin], dim=-1)


class Block(nn.Sequential):
    """Linear, ReLU, norm, linear: the feed-forward block of v2.2.0."""

    def __init__(self, inputs: int, width: int, outputs: int):
        super().__init__(nn.Linear(inputs, width), nn.ReLU(), nn.LayerNorm(width), nn.Linear(width, outputs))


class PerType(nn.Module):
    """A block for each type of element."""

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
    """Attention and feed-forward of v2.2.0, in which the normalised x, and not x itself, is passed on."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.query, self.key, self.value, self.out = (nn.Linear(width, width) for _ in range(4))
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.first, self.second = nn.Linear(width, width), nn.Linear(width, width)

    def forward(self, x: Tensor, asked: Tensor | None, elements: View) -> Tensor:
        """(n, width); asked: (n, width) source of the queries, None for x itself."""
        x = self.norm1(x)
        query, key, value = self.query(x if asked is None else asked), self.key(x), self.value(x)
        q, k, v = (y.unflatten(-1, (self.heads, y.shape[-1] // self.heads)) for y in (query, key, value))
        y = x + self.out(elements.attend(q / math.sqrt(q.shape[-1]), k, v).flatten(1))
        return y + functional.relu(self.second(functional.relu(self.first(self.norm2(y)))))


class StackV220(nn.Module):
    """An encoder for each type, and layers; the queries of the last layer are made of the encoder's output."""

    def __init__(self, kinds: int, inputs: int, width: int, heads: int, layers: int):
        super().__init__()
        self.encoder = PerType(kinds, inputs, width, width)
        self.layers = nn.ModuleList(LayerV220(width, heads) for _ in range(layers))
        self.norm = nn.LayerNorm(width)

    def forward(self, x: Tensor, types: Tensor, elements: View) -> Tensor:
        """(n, width) of (n, inputs)."""
        x = encoded = self.encoder(x, types)
        for i, layer in enumerate(self.layers):
            x = layer(x, encoded if i + 1 == len(self.layers) else None, elements)
        return self.norm(x)


class PublishedV220(Network):
    """The transformer of v2.2.0 for CMS: stacks for classes and regression, encoders and energy heads for each type.

    The first and the last of its nine classes do not exist here and are left out. There is no padding.
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

    def forward(self, elements: PackedElements) -> Outputs:
        """The outputs for packed elements."""
        x, types = self.standardise(elements), self.row[elements.types]
        view = self.view(elements)
        named, measured = self.identification(x, types, view), self.regression(x, types, view)
        particle = self.particle(named).float().log_softmax(dim=-1)
        kind = self.kind(named).float()[:, 1 : len(CLASSES)].log_softmax(dim=-1)
        angles = torch.cat([self.sin(measured), self.cos(measured)], dim=-1).float()
        return Outputs(
            torch.cat([particle[:, :1], particle[:, 1:] + kind], dim=-1),
            self.pt(measured, types)[:, 0].float().clamp(-MAX_LOG, MAX_LOG),
            self.energy(measured, types)[:, 0].float().clamp(-MAX_LOG, MAX_LOG),
            shift_eta(self.eta(measured).float(), elements),
            turn_phi(angles, elements),
        )

    @staticmethod
    def view(elements: PackedElements) -> View:
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
