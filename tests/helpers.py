"""What tests of several modules share."""

from __future__ import annotations

import numpy as np
from click.testing import CliRunner

from ptmiss.candidates import CATEGORIES, VOCABULARY
from ptmiss.cli import cli
from ptmiss.elements import COLUMNS, TRACK, TYPES, Elements
from ptmiss.histograms import book_met
from ptmiss.networks.attention import Attention, attention_shapes
from ptmiss.networks.deepmet import WIDTHS, DeepMET, deepmet_shapes
from ptmiss.networks.features import FEATURES
from ptmiss.results import RunResult
from ptmiss.segments import from_counts

SMALL = {"width": 32, "heads": 4, "hidden": 16, "window": 32}


def call(*arguments, code=0):
    """Run the command line and return what it printed."""
    result = CliRunner().invoke(cli, [str(a) for a in arguments])
    assert result.exit_code == code, result.output
    return result.output


def failure(*arguments):
    """The one line that a failing command prints."""
    lines = call(*arguments, code=1).splitlines()
    assert len(lines) == 1, lines
    assert lines[0].startswith("Error: ")
    return lines[0].removeprefix("Error: ")


def random_model(
    seed: int = 0,
    padding: int = 0,
    embedding: tuple[int, int, int] = (8, 8, 8),
    widths: tuple[int, ...] = WIDTHS,
    context: int = 0,
) -> DeepMET:
    """A DeepMET with random weights."""
    rng, shapes = np.random.default_rng(seed), deepmet_shapes(embedding, widths, context)
    tensors = {name: rng.normal(0, 0.3, shape).astype(np.float32) for name, shape in shapes.items()}
    for name, values in tensors.items():
        if name.endswith(".variance"):
            values[...] = np.abs(values) + 0.5
    return DeepMET(tensors, padding, "random")


def random_attention(seed: int = 0) -> Attention:
    """A DeepMET with attention and random weights."""
    rng, inner = np.random.default_rng(seed), random_model(seed, context=6)
    own = {name: rng.normal(0, 0.3, shape).astype(np.float32) for name, shape in attention_shapes(64, 32).items()}
    return Attention({**inner.tensors, **own}, 0, "random")


def random_candidates(counts, seed=1):
    """Random features, categories and offsets."""
    rng = np.random.default_rng(seed)
    offsets = from_counts(np.asarray(counts))
    features = rng.normal(0, 2, (offsets[-1], len(FEATURES))).astype(np.float32)
    categories = np.stack([rng.choice(VOCABULARY[name], offsets[-1]) for name in CATEGORIES], axis=1)
    return features, categories, offsets


def straight(model: DeepMET, features, categories, padding=0, context=None, hear=None):
    """PTmiss of one event, layer by layer in double precision, zero slots and all.

    context: sums over neighbours; hear: a function from the outputs of the first layer to what the second is given.
    """
    t = {name: values.astype(float) for name, values in model.tensors.items()}
    x = features.astype(float)
    x[:, [4, 6, 7]] /= 50
    index = np.stack([np.searchsorted(VOCABULARY[name], categories[:, i]) for i, name in enumerate(CATEGORIES)], axis=1)
    empty = max(padding - len(x), 0)
    x, index = np.vstack([x, np.zeros((empty, 8))]), np.vstack([index, np.zeros((empty, 3), int)])
    h = np.hstack([x, *(t[f"embedding.{name}"][index[:, i]] for i, name in enumerate(CATEGORIES))])
    before = h
    for layer in (1, 2, 3):
        around = context @ t["context.kernel"] if context is not None and layer == 1 else 0
        around = hear(before) if hear is not None and layer == 2 else around
        before = np.tanh(h @ t[f"dense{layer}.kernel"] + t[f"dense{layer}.bias"] + around)
        norm = {part: t[f"norm{layer}.{part}"] for part in ("gamma", "beta", "mean", "variance")}
        h = norm["gamma"] * (before - norm["mean"]) / np.sqrt(norm["variance"] + 1e-3) + norm["beta"]
    w, bx, by = (h @ t["dense4.kernel"] + t["dense4.bias"]).T
    sums = ((w - 1) * np.array([bx, by, x[:, 6], x[:, 7]])).sum(axis=1)
    return 50 * (sums @ t["output.kernel"] + t["output.bias"])


def random_elements(counts, seed=0):
    """Elements of all types, anywhere, so many an event."""
    rng, n = np.random.default_rng(seed), int(np.sum(counts))
    columns = {name: np.zeros(n, dtype) for name, dtype in COLUMNS.items()}
    columns["type"] = rng.choice(list(TYPES), n).astype(np.int32)
    columns["pt"] = rng.exponential(2.0, n).astype(np.float32) + np.float32(0.1)
    columns["eta"] = rng.uniform(-5, 5, n).astype(np.float32)
    columns["phi"] = rng.uniform(-3.1, 3.1, n).astype(np.float32)
    columns["energy"] = (columns["pt"] * np.cosh(columns["eta"])).astype(np.float32)
    columns |= {"caloEta": columns["eta"].copy(), "caloPhi": columns["phi"].copy()}
    columns["charge"] = np.where(columns["type"] == TRACK, rng.choice([-1, 1], n), 0).astype(np.int32)
    return Elements(columns, from_counts(np.array(counts)))


def random_network(name="compact", seed=0, **changes):
    """A network whose heads say something."""
    import torch

    from ptmiss.models.mlpf import configuration, network

    torch.manual_seed(seed)
    chosen = configuration.preset(name).model_copy(update=changes)
    net = network.build(chosen).eval()
    with torch.no_grad():
        for parameter in net.parameters():
            if not parameter.any():
                parameter.normal_(0, 0.1)
    return net


def spectra(seed, n, shifts=None):
    rng = np.random.default_rng(seed)
    histograms = book_met(["pf", "puppi"])
    for estimator, width in (("pf", 20), ("puppi", 15)):
        met = rng.rayleigh(width, n)
        for systematic, factor in {"nominal": 1.0, **(shifts or {})}.items():
            histograms["met"].fill(systematic, estimator, met * factor)
            histograms["met_phi"].fill(systematic, estimator, rng.uniform(-np.pi, np.pi, n))
    return histograms


def about(kind, sumw, **metadata):
    ledger = {"listed": sumw, "sumw": sumw, "events": sumw, "skipped": [], "duplicates": None}
    return {"metadata": {"kind": kind, **metadata}, "ledger": ledger}


def stacked_run(**changed):
    histograms = {"run_a": spectra(1, 600), "run_b": spectra(2, 400), "dy": spectra(3, 5000), "top": spectra(4, 100)}
    datasets = {
        "run_a": about("data", 600, luminosity=3.0),
        "run_b": about("data", 400, luminosity=2.0),
        "dy": about("mc", 5000, cross_section=0.18),
        "top": about("mc", 100, cross_section=0.02),
    }
    return RunResult({"datasets": {**datasets, **changed}}, histograms)


def unsaved(figure, stem, formats):
    """In place of ``plots.save``, which takes most of a figure's time: empty files."""
    paths = [stem.with_name(f"{stem.name}.{form}") for form in formats]
    for path in paths:
        path.write_text("")
    return paths
