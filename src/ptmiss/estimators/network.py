"""Networks that weigh candidates."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ptmiss import files
from ptmiss.candidates import CATEGORIES, LATENTS, Candidates
from ptmiss.leptons import EXACT, leave_out
from ptmiss.networks.features import FEATURES
from ptmiss.networks.inputs import Inputs, within
from ptmiss.networks.registry import Model, load_model
from ptmiss.networks.sketches import STRIDE, Counts, count
from ptmiss.networks.weights import fingerprint
from ptmiss.scales import DEFAULT, Scales
from ptmiss.segments import Offsets, select
from ptmiss.significance import Noise
from ptmiss.typing import Array, Mask, Vector

from .base import Selected
from .shifts import CandidateSum

NEEDED = ("phi", *FEATURES[:6], *CATEGORIES)
"""Candidate columns that every network needs."""


@dataclass(frozen=True)
class NetworkEstimator(CandidateSum):
    """A DeepMET network. Its weights file travels with it to workers, and is loaded once in each process."""

    name: str
    weights: str
    treatment: str | None = EXACT
    systematics: tuple[str, ...] = ()
    scales: Scales = DEFAULT
    jerc: str = ""
    noise: Noise | None = None

    def __getstate__(self) -> dict[str, Any]:
        """The attributes, and the content of the weights file."""
        return vars(self) | {"weights": files.portable(self.weights)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Restore it in another process, which may be on another machine."""
        vars(self).update(state | {"weights": files.unportable(*state["weights"])})

    @property
    def model(self) -> Model:
        """The network."""
        return load_model(self.weights)

    @property
    def own_columns(self) -> tuple[str, ...]:  # type: ignore[override]
        """Candidate columns that the network needs."""
        return (*NEEDED, LATENTS) if self.model.latents else NEEDED

    @property
    def sees_neighbours(self) -> bool:
        """Whether a candidate's weight depends on the candidates around it."""
        return self.model.sees_neighbours

    def met(self, events: Any, candidates: Candidates, selected: Selected, notes: Counter[str]) -> Vector:
        """(events, 2) pTmiss in GeV, with the selected leptons exact or weighted like any candidate."""
        if self.treatment != EXACT:
            return self._met(candidates, notes)
        rest, momentum = leave_out(candidates, selected)
        return self._met(rest, notes) - momentum

    def _met(self, candidates: Candidates, notes: Counter[str]) -> Vector:
        self._note_cuts(candidates.offsets, notes)
        return self.model.evaluate(Inputs.from_candidates(candidates)).astype(np.float64)

    def _note_cuts(self, offsets: Offsets, notes: Counter[str]) -> None:
        if limit := self.model.padding:
            over = int(np.count_nonzero(np.diff(offsets) > limit))
            notes[f"{self.name}: event with more than {limit} candidates, cut"] += over

    def sketch(self, candidates: Candidates, selected: Selected) -> Counts:
        """What it reads and answers, of one candidate in STRIDE, without the selected leptons.

        Of one event in STRIDE if the candidates around one count.
        """
        rows = np.flatnonzero(~selected)
        if self.sees_neighbours:
            events = np.searchsorted(candidates.offsets, rows, side="right") - 1
            rows = rows[events % STRIDE == 0]
        else:
            rows = rows[::STRIDE]
        columns = {name: candidates[name][rows] for name in self.own_columns}
        return count(self.model, Inputs.from_candidates(Candidates(columns, np.searchsorted(rows, candidates.offsets))))

    def counted(self, candidates: Candidates, wanted: Mask, notes: Counter[str]) -> Mask:
        """(candidates,) those of the wanted ones, (candidates,), that a model with padding does not cut off."""
        offsets = select(wanted, candidates.offsets)
        self._note_cuts(offsets, notes)
        kept = wanted.copy()
        if self.model.padding:
            kept[wanted] = within(self.model.padding, offsets)
        return kept

    def prepare(self, candidates: Candidates) -> Inputs:
        """Inputs of the network."""
        return Inputs.from_candidates(candidates)

    def weigh(self, prepared: Inputs) -> NDArray:
        """(candidates, m) outputs of the network."""
        return self.model.outputs(prepared)

    def momentum_weights(self, weights: NDArray) -> NDArray:
        """(candidates,) factor with which minus each momentum counts in pTmiss."""
        return self.model.momentum_weights(weights)

    def add(self, prepared: Inputs, weights: NDArray) -> Array:
        """(events, k) sums of the terms."""
        return self.model.add(prepared, weights)

    def total(self, sums: Array, candidates: Offsets) -> Vector:
        """(events, 2) pTmiss, GeV."""
        return self.model.total(sums, np.diff(candidates)).astype(np.float64)

    def manifest_entry(self) -> dict[str, Any]:
        """Its name, weights file, their hash, and its treatment of leptons."""
        digest = fingerprint(self.model.tensors)
        return super().manifest_entry() | {"weights": self.weights, "sha256": digest, "leptons": self.treatment}
