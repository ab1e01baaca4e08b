"""Superclusters by rule and by the network: the table of docs/simulation.md, and the correction of the rule.

ptmiss simulate zee_fiducial -n 800 --seed 191121 --pileup 30 --set pileup_spread=20 --set material=1 --elements -1 \
    --output zee.root
ptmiss simulate gammajet -n 700 --seed 191122 --pileup 30 --set pileup_spread=20 --set material=1 --elements -1 \
    --output gammajet.root
python docs/superclusters.py superclusters zee.root gammajet.root
ptmiss simulate gun_photon -n 3000 --seed 191131 --pileup 0 --set material=1 --elements -1 --output photons.root
python docs/superclusters.py correction photons.root
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from itertools import pairwise

import awkward as ak
import numpy as np
import pandas as pd
import uproot

from ptmiss import bootstrap
from ptmiss.elements import ECAL
from ptmiss.networks.superclusters import Network, load
from ptmiss.simulation import helix, superclusters
from ptmiss.simulation.calorimeter import Clusters
from ptmiss.simulation.superclusters import Superclusters

LEAST_PT, MOST_ETA, EQUAL = 20.0, 2.5, 2e-3
"""Least pT (GeV) and largest abs eta of generated particles; relative precision of energies in a file."""
ETA_EDGES = (0, 0.8, 1.444, 2.0, 2.5)
PILEUP_EDGES = (0, 15, 30, 45, 90)
REGIONS = (0, 0.7, 1.2, 1.444, 2.0, 2.5)
"""Between them are the points of superclusters.CORRECTION_ETA."""
REPLICAS = 200
WAYS = ("rule", "choice", "network")
"""The rule; clusters that the network chooses, with the rule's correction of their energy; the network's energy too."""


def clusters(event: ak.Record) -> tuple[Clusters, pd.DataFrame]:
    """The ECAL clusters of an event on the calorimeter's face, and what showered in them."""
    mask = event.PFElement_type == ECAL
    energy, eta, phi, width, cells = (
        ak.to_numpy(event[f"PFElement_{name}"][mask]).astype(float)
        for name in ("energy", "caloEta", "caloPhi", "width", "nCells")
    )
    outer = helix.ENDCAP_Z / np.sinh(np.maximum(np.abs(eta), helix.BARREL_ETA))
    radius = np.where(np.abs(eta) < helix.BARREL_ETA, helix.BARREL_RADIUS, outer)
    position = np.stack([radius * np.cos(phi), radius * np.sin(phi), radius * np.sinh(eta)], axis=1)
    none = np.zeros(0)
    showers = {name: ak.to_numpy(event[f"PFElementShower_{name}"][mask]) for name in ("particle", "energy", "share")}
    columns = {**showers, "cluster_energy": energy, "et": energy / np.cosh(eta)}
    return Clusters(np.full(len(eta), ECAL), energy, position, width, cells, none), pd.DataFrame(columns)


def prompt(event: ak.Record) -> pd.DataFrame:
    """Generated electrons and photons that are not of hadrons."""
    kept = (event.GenPart_status == 1) & (event.GenPart_statusFlags & 1 > 0)
    columns = {name: ak.to_numpy(event[f"GenPart_{name}"][kept]) for name in ("pt", "eta", "pdgId")}
    table = pd.DataFrame(columns)
    table["pdgId"] = table["pdgId"].abs()
    return table[table["pdgId"].isin((11, 22)) & (table["pt"] > LEAST_PT) & (table["eta"].abs() < MOST_ETA)]


def measure(path: str, network: Network) -> Iterator[dict[str, float]]:
    """A row for each prompt electron and photon with a cluster: energies, efficiency and purity of all WAYS."""
    with uproot.open(path) as file:
        events = file["Events"].arrays(filter_name=["PFElement_*", "PFElementShower_*", "GenPart_*", "Pileup_nPU"])
    for event in events:
        found, showers = clusters(event)
        by_network = superclusters.build(found, network)
        chosen = by_network._replace(corrected=superclusters.correct(by_network.energy, by_network.position))
        made = dict(zip(WAYS, (superclusters.build(found), chosen, by_network), strict=True))
        for particle in prompt(event).itertuples():
            energy = particle.pt * np.cosh(particle.eta)
            own = showers[(showers["energy"] / energy - 1).abs() < EQUAL]
            own = own[own["particle"] == own["particle"].mode().max()]
            if own.empty:
                continue
            about = {"code": particle.pdgId, "eta": abs(particle.eta), "pileup": event.Pileup_nPU}
            yield about | numbers(made, own, showers, energy)


def numbers(
    made: dict[str, Superclusters], own: pd.DataFrame, showers: pd.DataFrame, energy: float
) -> dict[str, float]:
    """Energy over the true one, raw and corrected; efficiency and purity of the clusters; of all WAYS.

    own: the clusters of the particle among all showers; energy: GeV, of the particle.
    """
    out, seed = {}, own["et"].idxmax()
    left = (own["share"] * own["cluster_energy"]).reindex(showers.index, fill_value=0.0)
    for name, one in made.items():
        number = one.member[seed]
        inside = one.member == number
        out[f"{name}_found"] = float(number >= 0)
        out[f"{name}_energy"] = one.corrected[number] / energy if number >= 0 else 0.0
        out[f"{name}_raw"] = one.energy[number] / energy if number >= 0 else 0.0
        out[f"{name}_efficiency"] = left[inside].sum() / left.sum()
        out[f"{name}_purity"] = left[inside].sum() / showers["cluster_energy"][inside].sum()
    return out


def describe(rows: pd.DataFrame) -> dict[str, str | int]:
    """Resolutions (%), response-corrected, and their ratios to the rule's; the clusters' efficiency and purity."""
    drawn = bootstrap.draws(len(rows), REPLICAS)
    width, out = {}, {"number": len(rows)}
    for name in WAYS:
        energy = rows[f"{name}_energy"].to_numpy()
        median = bootstrap.quantiles(energy, drawn, (0.5,))[:, 0]
        width[name] = 100 * bootstrap.half_width(energy, drawn) / median
        out[f"{name}, %"] = f"{width[name][0]:.2f} ± {width[name][1:].std():.2f}"
        out[f"{name} response"] = f"{median[0]:.3f}"
    for name in WAYS[1:]:
        ratio = width[name] / width["rule"]
        out[f"{name} to rule"] = f"{ratio[0]:.2f} ± {ratio[1:].std():.2f}"
    for what in ("efficiency", "purity"):
        means = [100 * rows[f"{name}_{what}"].mean() for name in ("rule", "network")]
        apart = (rows[f"network_{what}"] - rows[f"rule_{what}"]) * 100
        out[what] = f"{means[0]:.2f}, {means[1]:.2f}, {apart.mean():+.2f} ± {apart.std() / len(rows) ** 0.5:.2f}"
    return out


def table(rows: pd.DataFrame) -> pd.DataFrame:
    """The numbers in all, against abs eta and against pile-up."""
    parts = {"all": rows}
    for axis, edges in (("eta", ETA_EDGES), ("pileup", PILEUP_EDGES)):
        parts |= {f"{axis} {a:g} to {b:g}": rows[(rows[axis] >= a) & (rows[axis] < b)] for a, b in pairwise(edges)}
    return pd.DataFrame({name: describe(part) for name, part in parts.items() if len(part) > 30}).T


def correction(rows: pd.DataFrame) -> pd.DataFrame:
    """Mean of the true energy over the clustered one of photons in regions of abs eta: superclusters.CORRECTION."""
    rows = rows[(rows["code"] == 22) & (rows["rule_raw"] > 0.5)]
    regions = pd.cut(rows["eta"], REGIONS)
    ratio = (1 / rows["rule_raw"]).groupby(regions, observed=True)
    return pd.DataFrame({"photons": ratio.size(), "mean": ratio.mean(), "error": ratio.sem(), "median": ratio.median()})


def main(model: str, *paths: str) -> None:
    """Print the tables of a network, or the correction of the rule from photons."""
    network = load("superclusters" if model == "correction" else model)
    rows = pd.DataFrame([row for path in paths for row in measure(path, network)])
    if model == "correction":
        print(correction(rows).to_string())
        return
    for name, code in (("electrons", 11), ("photons", 22)):
        some = rows[rows["code"] == code]
        print(
            name, len(some), "in no supercluster:", *(int((some[f"{n}_found"] == 0).sum()) for n in ("rule", "network"))
        )
        print(table(some[(some["rule_found"] > 0) & (some["network_found"] > 0)]).to_string())


if __name__ == "__main__":
    main(*sys.argv[1:])
