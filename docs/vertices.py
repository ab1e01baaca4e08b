"""How often hadrons alone find the vertex of the hard collision, and what the recoil is where they do.

γ + jets have no track but those of the recoil. Z → μμ without its muons' tracks is the same. Generation, pile-up and
tracks of the embedded tables' events are simulated again, with the same random numbers; the calorimeters are left out.

    python docs/vertices.py 11 15    # blocks of 250 events of γ + jets and of Z → μμ; ten seconds each
"""  # noqa: RUF002

from __future__ import annotations

import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
from channels import EDGES, channel, of_all, tell
from numpy.typing import NDArray

from ptmiss import table
from ptmiss.data.production import TABLES
from ptmiss.simulation import events, generator, parameters, pileup, production, tracks, vertices

MUON, OF_BOSON = 13, 15.0  # the PDG code; pT above which a muon is the boson's, GeV
PROFILE = parameters.profile("mc")


def found_by_hadrons(name: str, blocks: int) -> dict[int, bool]:
    """Of the first events of an embedded table, by number: whether the tracks without muons choose the hard vertex."""
    sample = TABLES[name]
    process, library = generator.process(sample.process), pileup.load(production.pileup_library("mc"))
    job = production.Job(sample.process, sample.events, sample.seed, PROFILE, 0, Path(), sample.shower_weights)
    start, out = production._start_file(process), {}
    for block in job.blocks()[:blocks]:
        seed = int(block.rng(events._GENERATION).integers(1, 900_000_000))
        hard = generator.generate(process, block.n, seed, start, PROFILE.tune, sample.shower_weights)
        for i in range(block.n):
            crossing = pileup.cross(hard.library.collision(i), library, PROFILE.beam, block.rng(events._CROSSING, i))
            out[block.first + i + 1] = chosen(crossing, block.rng(events._DETECTOR, i))
    return out


def chosen(crossing: pileup.Crossing, rng: np.random.Generator) -> bool:
    """Whether the vertex of the hard collision is the primary one, without the tracks of its muons."""
    found = tracks.reconstruct(crossing.particles, PROFILE.detector, PROFILE.beam, rng)
    of = np.where(found.particle == tracks.FAKE, 0, found.particle)
    muon = (np.abs(crossing.particles.pdg_id[of]) == MUON) & (crossing.particles.pt[of] > OF_BOSON)
    muon &= (crossing.collision[of] == 0) & (found.particle != tracks.FAKE)
    others = tracks.Tracks(*(column[~muon] for column in found))
    return vertices.find(others, crossing.collision, crossing.vertices, PROFILE.beam, rng).hard


def split(found: table.RecoilTable, by: dict[int, bool]) -> tuple[table.RecoilTable, NDArray[np.bool_]]:
    """The events of a table that are known, and whether hadrons find their vertex."""
    found = found.select(np.isin(found["event"], list(by)))
    return found, np.array([by[event] for event in found["event"]])


def shares(found: table.RecoilTable, right: NDArray[np.bool_]) -> pd.DataFrame:
    """The share of events with another vertex, with its error, in bins of qT."""
    rows = []
    for low, high in pairwise(EDGES):
        inside = (found["boson_pt"] > low) & (found["boson_pt"] < high)
        weight = found["weight"][inside]
        share = np.average(~right[inside], weights=weight)
        error = np.sqrt(share * (1 - share) * (weight**2).sum()) / weight.sum()
        rows.append({"low": low, "high": high, "share": share, "error": error})
    return pd.DataFrame(rows)


if __name__ == "__main__":
    z, gamma = (
        split(channel(name), found_by_hadrons(name, int(blocks)))
        for name, blocks in zip(("zmumu", "gammajet"), sys.argv[:0:-1], strict=True)
    )
    for name, part in (("Z without its muons", z), ("γ + jets", gamma)):  # noqa: RUF001
        print(name, shares(*part).round(3).to_string(), sep="\n")
    parts = {"zmumu": z[0].select(z[1]), "right": gamma[0].select(gamma[1]), "wrong": gamma[0].select(~gamma[1])}
    tell(of_all({**parts, "all Z": channel("zmumu")}), ["right", "wrong", "all Z"])
