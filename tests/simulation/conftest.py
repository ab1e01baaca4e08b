from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ptmiss.simulation import detector, parameters, pileup
from ptmiss.simulation.events import Block, columns
from ptmiss.simulation.generator import HardEvents
from ptmiss.simulation.history import History
from ptmiss.simulation.particles import Library, Particles

FROZEN = Path(__file__).parent / "data" / "particles.npz"


def frozen(sample: str) -> HardEvents:
    with np.load(FROZEN) as file:
        particles = Particles(*(file[f"{sample}_particles_{field}"] for field in Particles._fields))
        history = History(*(file[f"{sample}_history_{field}"] for field in History._fields))
        library = Library(particles, file[f"{sample}_offsets"])
        return HardEvents(library, history, file[f"{sample}_weight"], file[f"{sample}_invisible"])


@pytest.fixture(scope="session")
def minbias() -> Library:
    return frozen("minbias").library


@pytest.fixture(scope="session")
def zmumu() -> HardEvents:
    return frozen("zmumu")


@pytest.fixture(scope="session")
def ttbar() -> HardEvents:
    return frozen("ttbar")


@pytest.fixture(scope="session")
def library_file(minbias, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("library") / "minbias.npz"
    pileup.save(minbias, path)
    return path


@pytest.fixture(scope="session")
def mc() -> parameters.Profile:
    return parameters.profile("mc")


@pytest.fixture(scope="session")
def crossings(zmumu, ttbar, minbias) -> list[pileup.Crossing]:
    beam = parameters.profile("mc", pileup_mean=25).beam
    rng = np.random.default_rng(1)
    hard = [zmumu.library.collision(i) for i in range(6)] + [ttbar.library.collision(i) for i in range(3)]
    return [pileup.cross(collision, minbias, beam, rng) for collision in hard]


@pytest.fixture(scope="session")
def reconstructed(crossings, mc) -> list[detector.ReconstructedEvent]:
    rng = np.random.default_rng(2)
    return [detector.reconstruct(crossing, mc, rng) for crossing in crossings]


@pytest.fixture(scope="session")
def block_columns(zmumu, minbias, mc) -> dict[str, np.ndarray]:
    pytest.importorskip("fastjet")
    block = Block(0, 0, 10, np.random.SeedSequence(1), 4)
    weighted = zmumu._replace(shower=np.linspace(0.5, 2.0, 40).reshape(10, 4))
    return columns(block, weighted, mc, minbias, elements=True)
