"""PF electrons of Z → ee against eta, with material in the tracker: the tables of docs/simulation.md.

ptmiss simulate zee_fiducial -n 250 --seed 77 --pileup 0 --set material=1 --elements -1 --output zee.root
python docs/electrons.py zee.root
"""

from __future__ import annotations

import sys
from itertools import pairwise

import awkward as ak
import numpy as np
import pandas as pd
import uproot

from ptmiss import events
from ptmiss.angles import delta_r
from ptmiss.bootstrap import half_width
from ptmiss.elements import CLASSES, Elements, Targets
from ptmiss.models.mlpf import reconstruction

EDGES = (0, 0.8, 1.444, 1.566, 2.0, 2.5)
DRAWS = 300


def matched(path: str) -> pd.DataFrame:
    """Generated electrons of the Z above 20 GeV inside abs eta 2.5, each with its nearest PF electron within 0.1."""
    tree = uproot.open(path)["Events"]
    names = {
        "GenPart": ("pt", "eta", "phi", "pdgId", "status", "statusFlags"),
        "PFCands": ("pt", "eta", "phi", "pdgId"),
    }
    generated, found = (
        ak.zip(dict(zip(fields, (tree[f"{part}_{name}"].array() for name in fields), strict=True)))
        for part, fields in names.items()
    )
    prompt = (abs(generated.pdgId) == 11) & (generated.status == 1) & (generated.statusFlags & 1 > 0)
    generated = generated[prompt & (generated.pt > 20) & (abs(generated.eta) < 2.5)]
    found = found[(abs(found.pdgId) == 11) & (found.pt > 10)]
    true, seen = ak.unzip(ak.cartesian([generated, found], nested=True))
    apart = delta_r(true, seen)
    best = ak.argmin(apart, axis=-1, keepdims=True)
    near = ak.fill_none(ak.flatten(apart[best] < 0.1, axis=-1), False)
    ratio = ak.fill_none(ak.flatten((seen.pt / true.pt)[best], axis=-1), 0)
    same = ak.fill_none(ak.flatten((seen.pdgId == true.pdgId)[best], axis=-1), False)
    columns = {"eta": abs(generated.eta), "found": near, "ratio": ratio, "same": same}
    return pd.DataFrame({name: ak.to_numpy(ak.flatten(column)) for name, column in columns.items()})


def describe(rows: pd.DataFrame) -> dict[str, object]:
    """Numbers of some electrons, with errors."""
    kept = rows[rows.found]
    ratio, n, wrong = kept.ratio.to_numpy(), len(kept), int((~kept.same).sum())
    draws = np.random.default_rng(1).choice(ratio, (DRAWS, n))
    values = {"efficiency": (n / len(rows), (n / len(rows) * (1 - n / len(rows)) / len(rows)) ** 0.5)}
    values |= {"response": (np.median(ratio), np.median(draws, axis=1).std())}
    widths = np.array([half_width(draw)[0] / np.median(draw) for draw in draws])
    values |= {"resolution": (float(half_width(ratio)[0]) / np.median(ratio), widths.std())}
    numbers = {name: f"{value:.4f} ± {error:.4f}" for name, (value, error) in values.items()}
    return {"electrons": len(rows), **numbers, "wrong charge": f"{wrong} of {n}"}


def of_network(path: str, name: str = "mlpf") -> pd.DataFrame:
    """Elements with an electron above 20 GeV for a target, and what a network makes of them."""
    source = events.inspect(path)
    some = source.events(0, source.entries)
    truth, found = Targets.of_events(some), reconstruction.load(name)(Elements.of_events(some))
    electron = CLASSES.index("electron")
    true = (truth["type"] == electron) & (truth["pt"] > 20)
    columns = {"eta": np.abs(truth["eta"]), "named": found.kind == electron, "ratio": found.pt / truth["pt"].clip(1e-3)}
    return pd.DataFrame({key: column[true] for key, column in columns.items()})


def main(path: str) -> None:
    """Print the tables."""
    rows = matched(path)
    parts = {f"{a:g} to {b:g}": rows[(rows.eta >= a) & (rows.eta < b)] for a, b in pairwise(EDGES)} | {"all": rows}
    print(pd.DataFrame({name: describe(part) for name, part in parts.items()}).T.to_string())
    for name in ("mlpf", "mlpf_electrons"):
        seen = of_network(path, name)
        for low, high in (*pairwise(EDGES), (EDGES[0], EDGES[-1])):
            part = seen[(seen.eta >= low) & (seen.eta < high)]
            ratio = part.ratio.to_numpy()
            print(name, low, high, len(part), part.named.mean(), np.median(ratio), half_width(ratio)[0])


if __name__ == "__main__":
    main(sys.argv[1])
