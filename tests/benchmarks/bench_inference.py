"""DeepMET on flat candidates against other ways to run it on the same events, in one run, by turns; then a whole skim.

Times are CPU times, medians over the rounds; run with OMP_NUM_THREADS=1 for those of one core.
"""

import itertools
import time
from collections import Counter
from dataclasses import replace
from importlib.util import find_spec

import awkward as ak
import numpy as np
import uproot

from ptmiss import estimators, table
from ptmiss import sample as embedded
from ptmiss.candidates import CATEGORIES, VOCABULARY, Candidates, reading
from ptmiss.estimators import evaluation, network, sums
from ptmiss.networks.deepmet import BACKEND, EPSILON, DeepMET
from ptmiss.networks.features import FEATURES
from ptmiss.networks.inputs import Inputs, combinations, scale_features
from ptmiss.networks.registry import save_model
from ptmiss.runs import fileset
from ptmiss.runs.skim import skim
from ptmiss.segments import from_counts

from ..helpers import random_attention, random_model
from .figures import OUTPUT, draw

EVENTS, CANDIDATES, PADDING, ROUNDS = 40, 1500, 4500, 7
REPEATS = 20  # of the 60 embedded events, in the file that is skimmed


def sample(candidates=CANDIDATES, events=EVENTS):
    rng = np.random.default_rng(0)
    offsets = from_counts(rng.poisson(candidates, events))
    features = rng.normal(0, 2, (offsets[-1], len(FEATURES))).astype(np.float32)
    categories = np.stack([rng.choice(VOCABULARY[name], offsets[-1]) for name in CATEGORIES], axis=1)
    return features, categories, offsets


def indices(categories):
    return np.stack([np.searchsorted(VOCABULARY[name], categories[:, i]) for i, name in enumerate(CATEGORIES)], axis=1)


def of_backend(monkeypatch, name, model, inputs):
    def run():
        monkeypatch.setenv(BACKEND, name)
        return model.evaluate(inputs)

    return run


def normalised(model, layer, h):
    norm = {part: model.tensors[f"norm{layer}.{part}"] for part in ("gamma", "beta", "mean", "variance")}
    return norm["gamma"] * (h - norm["mean"]) / np.sqrt(norm["variance"] + EPSILON) + norm["beta"]


def padded(model, features, categories, offsets):
    """Layer by layer over (events, slots, features), as a padded graph does it."""
    shape, tensors = (len(offsets) - 1, PADDING), model.tensors
    x, row = np.zeros((*shape, len(FEATURES)), np.float32), np.zeros(shape, np.intp)
    flat, index = scale_features(features), combinations(categories)
    for event, (start, stop) in enumerate(itertools.pairwise(offsets)):
        x[event, : stop - start], row[event, : stop - start] = flat[start:stop], index[start:stop]
    h = x @ model.layers[0][0][: len(FEATURES)] + model.category_table[row]
    for layer in (1, 2, 3):
        h = (
            normalised(model, layer, np.tanh(h)) @ tensors[f"dense{layer + 1}.kernel"]
            + tensors[f"dense{layer + 1}.bias"]
        )
    terms = (h[..., :1] - 1) * np.concatenate([h[..., 1:], x[..., 6:]], axis=-1)
    return 50 * (terms.sum(axis=1, dtype=np.float64) @ tensors["output.kernel"] + tensors["output.bias"])


def of_onnxruntime(model, path, features, categories, offsets):
    import onnxruntime

    from ptmiss.models.export import write_onnx

    write_onnx(model, path)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    index = indices(categories)
    events = [{"features": features[a:b], "categories": index[a:b]} for a, b in itertools.pairwise(offsets)]
    return lambda: np.stack([session.run(None, event)[0] for event in events])


def of_tensorflow(model, features, categories, offsets):
    """The padded graph as CMSSW runs it, one event at a time."""
    import tensorflow as tf

    t = {name: tf.constant(values) for name, values in model.tensors.items()}
    x = np.zeros((len(offsets) - 1, PADDING, len(FEATURES)), np.float32)
    index = np.zeros((len(offsets) - 1, PADDING, len(CATEGORIES)), np.int32)
    flat, found = scale_features(features), indices(categories)
    for event, (start, stop) in enumerate(itertools.pairwise(offsets)):
        x[event, : stop - start], index[event, : stop - start] = flat[start:stop], found[start:stop]

    @tf.function
    def graph(x, index):
        parts = [tf.gather(t[f"embedding.{name}"], index[:, i]) for i, name in enumerate(CATEGORIES)]
        h = tf.concat([x, *parts], axis=1)
        for layer in (1, 2, 3):
            h = tf.tanh(h @ t[f"dense{layer}.kernel"] + t[f"dense{layer}.bias"])
            h = normalised(model, layer, h)
        h = h @ t["dense4.kernel"] + t["dense4.bias"]
        sums = tf.reduce_sum((h[:, :1] - 1) * tf.concat([h[:, 1:], x[:, 6:]], axis=1), axis=0, keepdims=True)
        return 50 * (sums @ t["output.kernel"] + t["output.bias"])[0]

    events = [(tf.constant(a), tf.constant(b)) for a, b in zip(x, index, strict=True)]
    return lambda: np.stack([graph(*event).numpy() for event in events])


def seconds(function):
    began = time.process_time()
    function()
    return time.process_time() - began


def medians(ways):
    """Median CPU time of each, taken by turns, and the median ratio to the first."""
    times = np.array([[seconds(way) for way in ways.values()] for _ in range(ROUNDS)])
    return dict(zip(ways, np.median(times, axis=0), strict=True)), np.median(times / times[:, :1], axis=0)


def test_ways_to_run_the_network(monkeypatch, tmp_path):
    model, arrays = random_model(padding=PADDING), sample()
    inputs, n = Inputs.of(*arrays), arrays[2][-1]
    there = [name for name in ("compiled", "numpy", "torch") if name != "torch" or find_spec("torch")]
    ways = {name: of_backend(monkeypatch, name, model, inputs) for name in there}
    if find_spec("onnxruntime") and find_spec("onnx"):
        ways["onnxruntime, double, an event at a time"] = of_onnxruntime(model, tmp_path / "net.onnx", *arrays)
    if find_spec("tensorflow"):
        ways[f"TensorFlow, padded to {PADDING}"] = of_tensorflow(model, *arrays)
    ways[f"numpy, padded to {PADDING}"] = lambda: padded(model, *arrays)
    expected = ways["numpy"]()
    for name, way in ways.items():
        np.testing.assert_allclose(way(), expected, rtol=1e-4, atol=0.05, err_msg=name)
    found, ratios = medians(ways)
    print(
        f"\nDeepMET, {EVENTS} events of {CANDIDATES} candidates, CPU time:"
        f"{'ms/event':>21}{'ns/candidate':>14}{'ratio':>8}"
    )
    for (name, t), ratio in zip(found.items(), ratios, strict=True):
        print(f"  {name:60}{1e3 * t / EVENTS:14.3f}{1e9 * t / n:14.0f}{ratio:8.2f}")
    for name in {"torch", "onnxruntime", "tensorflow"} - {
        name for name in ("torch", "onnxruntime", "tensorflow") if find_spec(name)
    }:
        print(f"  {name} is not installed")


def spread(candidates=2300, events=20):
    """Candidates over the whole plane, the same number for each eta up to 5, with the momenta of soft particles."""
    rng, (features, categories, offsets) = np.random.default_rng(0), sample(candidates, events)
    pt, phi = rng.exponential(1, offsets[-1]), rng.uniform(-np.pi, np.pi, offsets[-1])
    features[:, 2] = rng.uniform(-5, 5, offsets[-1])
    features[:, 4], features[:, 6], features[:, 7] = pt, pt * np.cos(phi), pt * np.sin(phi)
    return features, categories, offsets


def test_what_neighbours_cost(monkeypatch):
    """Each call makes sums and neighbours again."""
    monkeypatch.setenv(BACKEND, "compiled")
    models = {
        "DeepMET": random_model(),
        "sums over neighbours": random_model(context=6),
        "attention": random_attention(),
    }
    inputs = Inputs.of(*spread())
    ways = {name: lambda m=model: m.evaluate(replace(inputs)) for name, model in models.items()}
    for way in ways.values():
        way()
    found, ratios = medians(ways)
    print("\nNetworks that see neighbours, 20 events of 2300 candidates, CPU time:")
    for (name, t), ratio in zip(found.items(), ratios, strict=True):
        print(f"  {name:24}{1e9 * t / inputs.offsets[-1]:8.0f} ns/candidate{ratio:8.2f}")


def test_preparing_the_inputs():
    features, categories, offsets = sample()
    columns = dict(zip(FEATURES[:6], np.ascontiguousarray(features[:, :6].T), strict=True))
    columns |= dict(zip(CATEGORIES, np.ascontiguousarray(categories.T.astype(np.int32)), strict=True))
    candidates = Candidates(columns | {"phi": features[:, 7].copy()}, offsets)
    ways = {"from columns, compiled": lambda: Inputs.from_candidates(candidates)}
    ways["from arrays, numpy"] = lambda: Inputs.of(features, categories, offsets)
    for way in ways.values():
        way()
    print("\nPreparing features, CPU time, ns/candidate:")
    for name, t in medians(ways)[0].items():
        print(f"  {name:24}{1e9 * t / offsets[-1]:8.0f}")


def test_time_is_linear_in_the_candidates(monkeypatch):
    model = random_model()
    inputs = {n: Inputs.of(*sample(n, 60_000 // n)) for n in (500, 1000, 2000, 4000, 8000)}
    ways = {n: of_backend(monkeypatch, "compiled", model, some) for n, some in inputs.items()}
    for way in ways.values():
        way()
    found = {n: t / inputs[n].offsets[-1] for n, t in medians(ways)[0].items()}
    print("\nCompiled network, CPU time:")
    for n, each in found.items():
        print(f"  {n:5} candidates an event {1e9 * each:8.0f} ns/candidate {1e3 * each * n:8.3f} ms/event")
    draw(
        OUTPUT / "candidates",
        [*found],
        [1e3 * n * t for n, t in found.items()],
        "Candidates of an event",
        "CPU time of an event (ms)",
    )


def test_time_is_linear_in_the_events(monkeypatch):
    model = random_model()
    inputs = {n: Inputs.of(*sample(CANDIDATES, n)) for n in (10, 20, 40, 80, 160)}
    ways = {n: of_backend(monkeypatch, "compiled", model, some) for n, some in inputs.items()}
    for way in ways.values():
        way()
    found = medians(ways)[0]
    print(f"\nCompiled network, events of {CANDIDATES} candidates, CPU time:")
    for n, t in found.items():
        print(f"  {n:5} events {1e3 * t:8.2f} ms {1e3 * t / n:8.3f} ms/event")
    draw(
        OUTPUT / "events",
        [*found],
        [1e3 * t for t in found.values()],
        f"Events of {CANDIDATES} candidates",
        "CPU time (ms)",
    )


def embedded_columns():
    """The embedded Z → μμ, collections as jagged records."""
    with uproot.open(embedded.events("zmumu")) as file:
        columns = file["Events"].arrays(how=dict)
    prefixes = {name.split("_")[0] for name in columns if "_" in name}
    lists = [name[1:] for name in columns if name.startswith("n") and name[1:] in prefixes]
    branches = {k: v for k, v in columns.items() if k[1:] not in lists and k.split("_")[0] not in lists}
    for name in lists:
        parts = {k.removeprefix(f"{name}_"): v for k, v in columns.items() if k.split("_")[0] == name}
        branches[name] = ak.zip(parts, depth_limit=2)
    return branches


def write_zstd(path, branches, repeats):
    with uproot.recreate(path, compression=uproot.ZSTD(5)) as file:
        types = {name: value.type for name, value in branches.items()}
        file.mktree("Events", types, counter_name=lambda c: f"n{c}", field_name=lambda c, f: f"{c}_{f}")
        for _ in range(repeats):
            file["Events"].extend(branches)


STEPS = (
    ("read and decompress", reading, "flat"),
    ("derive and clean", reading, "derive"),
    ("derive and clean", reading, "clean"),
    ("match leptons", evaluation, "match"),
    ("leave leptons out", network, "leave_out"),
    ("prepare features", Inputs, "from_candidates"),
    ("network", DeepMET, "evaluate"),
    ("pf and puppi sums", sums.WeightedSum, "met"),
    ("write the table", table.TableWriter, "write"),
    ("write the table", table.TableWriter, "close"),
)


def test_a_whole_skim(monkeypatch, tmp_path):
    branches = embedded_columns()
    candidates = REPEATS * int(ak.sum(ak.num(branches["PFCands"])))
    for repeats in (1, REPEATS):
        write_zstd(tmp_path / f"{repeats}.root", branches, repeats)
    save_model(random_model(), tmp_path / "net.safetensors", "random numbers")
    spent: Counter[str] = Counter()

    def timed(step, function):
        def run(*arguments):
            began = time.process_time()
            try:
                return function(*arguments)
            finally:
                spent[step] += time.process_time() - began

        return run

    for step, owner, name in STEPS:
        wrapped = timed(step, getattr(owner, name))
        monkeypatch.setattr(owner, name, staticmethod(wrapped) if owner is Inputs else wrapped)

    def job(repeats):
        spent.clear()
        made = estimators.make_estimators(["pf", "puppi", "net"], {"net": tmp_path / "net.safetensors"})
        files = fileset.parse({"z": [str(tmp_path / f"{repeats}.root")]})
        whole = seconds(lambda: skim(files, made, tmp_path / "t.parquet"))
        return {"whole": whole, **spent, "muons, jets, truth, coffea": whole - spent.total()}

    job(1)  # compiles
    rounds = [(job(1), job(REPEATS)) for _ in range(ROUNDS)]
    small, large = ({step: np.median([r[i][step] for r in rounds]) for step in rounds[0][i]} for i in (0, 1))
    print(f"\nSkim of {candidates} candidates in ZSTD with pf, puppi and a network, CPU time, ns/candidate:")
    print(f"{'with':>40}{'without what any job takes':>28}")
    for step, t in large.items():
        without = (t - small[step]) / (1 - 1 / REPEATS)
        print(f"  {step:30}{1e9 * t / candidates:8.0f}{1e9 * without / candidates:28.0f}")
