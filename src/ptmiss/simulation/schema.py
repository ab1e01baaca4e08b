"""The branches of a file: name, type, unit, meaning and precision, in one table for the writer and the documentation.

Names and layout are those of NanoAOD with PFNano's candidates, so that coffea's ``PFNanoAODSchema`` reads the file.
``bits`` is the number of mantissa bits to keep, as CMS does; None keeps all.
"""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ptmiss import tables
from ptmiss.simulation.filters import FILTERS


@dataclass(frozen=True)
class Branch:
    """One branch of the tree, with its name inside the collection."""

    name: str
    dtype: str
    unit: str
    meaning: str
    bits: int | None = None


@dataclass(frozen=True)
class Collection:
    """Branches with a common prefix. With ``many`` an event has any number of rows, otherwise one."""

    name: str
    meaning: str
    branches: tuple[Branch, ...]
    many: bool = True

    def branch_name(self, branch: Branch) -> str:
        """The branch's name in the tree."""
        return "_".join(filter(None, (self.name, branch.name)))


def _momentum(bits: int | None = 10, pt_bits: int | None = 10) -> tuple[Branch, ...]:
    return (
        Branch("pt", "float32", "GeV", "transverse momentum", pt_bits),
        Branch("eta", "float32", "", "pseudorapidity", bits),
        Branch("phi", "float32", "rad", "azimuth", bits),
    )


def _mass(bits: int | None = 10) -> Branch:
    return Branch("mass", "float32", "GeV", "mass", bits)


_CHARGE = Branch("charge", "int32", "e", "electric charge")
_PDG = Branch("pdgId", "int32", "", "PDG code")
_DXY = Branch("dxy", "float32", "cm", "transverse impact parameter, primary vertex", 10)
_DZ = Branch("dz", "float32", "cm", "longitudinal impact parameter, primary vertex", 10)


def _met(name: str, meaning: str) -> Collection:
    branches = (
        Branch("pt", "float32", "GeV", "magnitude"),
        Branch("phi", "float32", "rad", "azimuth"),
    )
    scalar = Branch("sumEt", "float32", "GeV", "scalar sum of what it was made from")
    return Collection(name, meaning, branches if name == "GenMET" else (*branches, scalar), many=False)


SCHEMA: tuple[Collection, ...] = (
    Collection(
        "",
        "the event",
        (
            Branch("run", "uint32", "", "1 in simulation; in pseudo-data from 360000 on, 100 sections each"),
            Branch("luminosityBlock", "uint32", "", "luminosity section of ten events, from 1"),
            Branch("event", "uint64", "", "number in the production, from 1"),
            Branch("genWeight", "float32", "", "generator weight; 1 unless the process is biased"),
            Branch("HLT_IsoMu24", "bool", "", "isolated muon above 24 GeV, with turn-on and efficiency"),
            Branch("HLT_Ele32_WPTight_Gsf", "bool", "", "tight electron above 32 GeV in abs eta 2.5"),
            Branch("HLT_Photon50", "bool", "", "photon above 50 GeV in abs eta 2.5"),
        ),
        many=False,
    ),
    Collection(
        "Flag",
        "filters of noise: true but for a few events, at random",
        tuple(Branch(name, "bool", "", "passed") for name in FILTERS),
        many=False,
    ),
    Collection(
        "PSWeight",
        "weights of the shower over the nominal one, with --shower-weights",
        (Branch("", "float32", "", "scale of ISR halved, of FSR halved, of ISR doubled, of FSR doubled", 12),),
    ),
    Collection(
        "Pileup",
        "true pile-up",
        (
            Branch("nTrueInt", "float32", "", "expected number of extra collisions"),
            Branch("nPU", "int32", "", "number of extra collisions"),
        ),
        many=False,
    ),
    Collection(
        "PV",
        "primary vertex",
        (
            Branch("npvs", "int32", "", "reconstructed vertices"),
            Branch("npvsGood", "int32", "", "those with five tracks or more"),
            Branch("x", "float32", "cm", "position", 16),
            Branch("y", "float32", "cm", "position", 16),
            Branch("z", "float32", "cm", "position", 16),
            Branch("isHard", "bool", "", "truth: the hard collision's vertex was chosen"),
        ),
        many=False,
    ),
    _met("MET", "minus the sum of all PF candidates, uncorrected"),
    _met("PuppiMET", "minus the PUPPI-weighted sum, uncorrected"),
    _met("GenMET", "sum of the hard collision's neutrinos"),
    Collection("OtherPV", "the other vertices", (Branch("z", "float32", "cm", "position", 16),)),
    Collection(
        "PFCands",
        "all particle-flow candidates",
        (
            *_momentum(),
            _mass(),
            Branch("charge", "int32", "e", "electric charge"),
            Branch(
                "pdgId",
                "int32",
                "",
                "211 hadron, 11, 13 lepton, 22 photon, 130 neutral hadron, 1 HF hadron, 2 HF photon",
            ),
            Branch("d0", "float32", "cm", "transverse impact parameter, primary vertex; 0 for neutrals", 8),
            Branch("dz", "float32", "cm", "longitudinal impact parameter, primary vertex; 0 for neutrals", 8),
            Branch("puppiWeight", "float32", "", "PUPPI weight", 10),
            Branch(
                "fromPV",
                "int32",
                "",
                "3 in the primary vertex's fit or neutral, 2 nearest to it, 1 in no fit, 0 in another's",
            ),
            Branch("pvAssocQuality", "int32", "", "7 and 6 in a fit, 5 by dz, 1 far from all; 7 for neutrals"),
        ),
    ),
    Collection(
        "Muon",
        "muons above 3 GeV",
        (
            *_momentum(16, None),
            _mass(),
            _CHARGE,
            _PDG,
            _DXY,
            _DZ,
            Branch("pfRelIso04_all", "float32", "", "relative isolation in 0.4, pile-up subtracted", 10),
            Branch("looseId", "bool", "", "loose identification"),
            Branch("mediumId", "bool", "", "medium identification"),
            Branch("tightId", "bool", "", "tight identification"),
        ),
    ),
    Collection(
        "Electron",
        "electrons above 5 GeV",
        (
            *_momentum(16, 16),
            _mass(),
            _CHARGE,
            _PDG,
            _DXY,
            _DZ,
            Branch("pfRelIso03_all", "float32", "", "relative isolation in 0.3, pile-up subtracted", 10),
            Branch("cutBased", "int32", "", "2 loose, 3 medium, 4 tight"),
            Branch("mvaIso_WP90", "bool", "", "medium, and isolated within 0.15"),
            Branch("mvaIso_WP80", "bool", "", "tight, and isolated within 0.10"),
            Branch("deltaEtaSC", "float32", "", "eta of its energy from the detector's centre, less its own", 10),
        ),
    ),
    Collection(
        "Photon",
        "photons above 10 GeV inside abs eta 2.5",
        (
            *_momentum(16, 16),
            Branch("pfRelIso03_all", "float32", "", "relative isolation in 0.3, pile-up subtracted", 10),
            Branch("cutBased", "int32", "", "0 none, 1 loose, 2 medium, 3 tight; isolated within 0.15"),
            Branch("mvaID_WP90", "bool", "", "medium"),
            Branch("mvaID_WP80", "bool", "", "tight"),
            Branch("electronVeto", "bool", "", "no electron's track points to it"),
            Branch("pixelSeed", "bool", "", "hits of the innermost tracker point to it"),
        ),
    ),
    Collection(
        "Jet",
        "anti-kT 0.4 jets of PUPPI-weighted candidates above 15 GeV, uncorrected",
        (*_momentum(), _mass(), Branch("genJetIdx", "int32", "", "nearest generated jet within 0.4, -1 for none")),
    ),
    Collection(
        "GenJet", "anti-kT 0.4 jets of the hard collision's visible particles above 10 GeV", (*_momentum(), _mass())
    ),
    Collection(
        "GenPart",
        "hard process, heavy bosons and tops, taus and their products, muons, neutrinos, prompt electrons and photons",
        (
            *_momentum(16, 16),
            _mass(16),
            _PDG,
            Branch("status", "int32", "", "1 stable, else Pythia's status without its sign"),
            Branch(
                "statusFlags",
                "int32",
                "",
                "bits 0 prompt, 3 of a prompt tau, 7 hard, 8 a copy of hard, 9 of a hard tau, 10 directly of it, "
                "12 first, 13 last copy",
            ),
            Branch("genPartIdxMother", "int32", "", "row of the nearest kept ancestor, -1 for none"),
        ),
    ),
    Collection(
        "PFElement",
        "particle-flow elements: what a detector sees before particle flow",
        (
            Branch(
                "type",
                "int32",
                "",
                "1 track, 4 ECAL cluster, 5 HCAL cluster, 8 HF electromagnetic, 9 HF hadronic; with "
                "material 6 GSF track (with a target if it has no general track), 7 brem point, 10 supercluster",
            ),
            *_momentum(),
            Branch("energy", "float32", "GeV", "momentum of a track, uncalibrated energy of a deposit", 10),
            Branch(
                "caloEta", "float32", "", "position on the calorimeter from the detector's centre; 0 if never there", 10
            ),
            Branch(
                "caloPhi",
                "float32",
                "rad",
                "position on the calorimeter from the detector's centre; 0 if never there",
                10,
            ),
            Branch("charge", "int32", "e", "charge of a track"),
            Branch("d0", "float32", "cm", "transverse impact parameter, primary vertex", 8),
            Branch("dz", "float32", "cm", "longitudinal impact parameter, primary vertex", 8),
            Branch("ptError", "float32", "", "relative error of a track's pt", 8),
            Branch("d0Error", "float32", "cm", "error of d0", 8),
            Branch("dzError", "float32", "cm", "error of dz", 8),
            Branch("fromPV", "int32", "", "as for candidates; 0 for deposits"),
            Branch("pvAssocQuality", "int32", "", "as for candidates; 0 for deposits"),
            Branch("isMuon", "bool", "", "the muon system saw something behind the track"),
            Branch("isElectron", "bool", "", "the track is an electron seed"),
            Branch("width", "float32", "cm", "RMS radius of a cluster", 8),
            Branch("nCells", "int32", "", "cells of a deposit"),
        ),
    ),
    Collection(
        "PFElementDetail",
        "with material in the tracker, row by row beside PFElement: 0 where a type has no such thing",
        (
            Branch("ptOut", "float32", "GeV", "outer pt of a GSF track, also at its general track", 10),
            Branch("deltaP", "float32", "GeV", "momentum lost: of a GSF track, its general track, a brem point", 10),
            Branch("deltaPError", "float32", "GeV", "error of deltaP", 8),
            Branch("trajectoryPoint", "int32", "", "layer of a brem point, from 1"),
            Branch("seed", "int32", "", "of a GSF track: 1 a general track, 2 a supercluster, 3 both"),
            Branch("nHits", "int32", "", "hits of a track in the tracker"),
            Branch("nDTHits", "int32", "", "hits in the drift tubes behind a track"),
            Branch("nCSCHits", "int32", "", "hits in the cathode strips behind a track"),
            Branch("correctedEnergy", "float32", "GeV", "of a supercluster, also at its clusters", 10),
            Branch(
                "parent",
                "int32",
                "",
                "row in the event: a GSF track's general track, a brem point's GSF track, a cluster's supercluster; -1",
            ),
        ),
    ),
    Collection(
        "PFElementShower",
        "with material in the tracker, row by row beside PFElement: truth of ECAL clusters, 0 for other types",
        (
            Branch("particle", "int32", "", "number in the event of the electron or photon that left most, or -1"),
            Branch("pdgId", "int32", "", "PDG code of that particle"),
            Branch("energy", "float32", "GeV", "energy with which it was generated", 16),
            Branch("share", "float32", "", "its share of the energy deposited in the cluster", 8),
        ),
    ),
    Collection(
        "PFElementTarget",
        "truth, row by row beside PFElement: the particles that each element stands for",
        (
            Branch(
                "type",
                "int32",
                "",
                "0 none, 1 charged hadron, 2 neutral hadron, 3 photon, 4 electron, 5 muon, 6 HF hadron, 7 HF photon",
            ),
            Branch("charge", "int32", "e", "charge of a track's particle"),
            *_momentum(16, 16),
            Branch("energy", "float32", "GeV", "energy", 16),
            Branch("pileupFraction", "float32", "", "pile-up's share of the scalar pT", 8),
            Branch("emEnergy", "float32", "GeV", "energy of photons and electrons", 10),
            Branch("hadEnergy", "float32", "GeV", "energy of everything else", 10),
            Branch("nParticles", "int32", "", "particles"),
            Branch("tracklessFraction", "float32", "", "share of a deposit that particles without a track left", 8),
        ),
    ),
)
OPTIONAL = ("PFElement", "PFElementDetail", "PFElementShower", "PFElementTarget", "PSWeight")


def collections(there: Container[str] = ()) -> tuple[Collection, ...]:
    """The collections of a file; of the optional ones those that are there."""
    return tuple(c for c in SCHEMA if c.name not in OPTIONAL or c.name in there)


def describe() -> str:
    """The schema as a Markdown table."""
    lines: list[tuple[str, ...]] = []
    for collection in SCHEMA:
        if collection.name:
            rows = f"n{collection.name}, any number" if collection.many else "one an event"
            lines.append((f"**{collection.name}**", rows, "", collection.meaning))
        for branch in collection.branches:
            lines.append((f"`{collection.branch_name(branch)}`", branch.dtype, branch.unit, branch.meaning))
    return tables.markdown(["branch", "type", "unit", "meaning"], lines)


def cut(values: NDArray, branch: Branch) -> NDArray:
    """Values in the branch's type, with the mantissa rounded to its bits; same shape."""
    out = np.asarray(values).astype(branch.dtype)
    return out if branch.bits is None or not len(out) else round_mantissa(out, branch.bits)


def round_mantissa(values: NDArray[np.float32], bits: int) -> NDArray[np.float32]:
    """Float32 values with the mantissa rounded to ``bits`` bits; same shape. Values that are not finite stay so."""
    drop = 23 - bits
    raw = values.view(np.uint32)
    return ((raw + np.uint32(1 << (drop - 1))) & np.uint32(0xFFFFFFFF ^ ((1 << drop) - 1))).view(np.float32)
