"""What the recoil processors share: their options, and the check of a file before any event is read."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import awkward as ak
import hist
import numpy as np
from coffea.analysis_tools import PackedSelection
from coffea.processor import ProcessorABC
from numpy.typing import NDArray

from ptmiss import selections as select
from ptmiss import vertex as vertices
from ptmiss.corrections import Corrections, load
from ptmiss.errors import ColumnError, OptionError, UnknownName
from ptmiss.estimators import Estimator, MetResult, evaluate, propagation
from ptmiss.recoil import finite_in_all, transverse_sum
from ptmiss.scales import DEFAULT, scale_leptons
from ptmiss.selections import Selection, branches, of_channel, quality
from ptmiss.selections.momenta import evaluation as momenta
from ptmiss.selections.schema import MetCut
from ptmiss.selections.weights import evaluation as weights
from ptmiss.selections.weights.evaluation import EventWeights
from ptmiss.systematics import NOMINAL
from ptmiss.truth import is_data
from ptmiss.typing import Array, Mask, Vector

LEFT_OUT = "event without a finite pTmiss of every estimator, left out of the histograms of all"


Cuts = Callable[[Any, ak.Array, ak.Array, Selection], PackedSelection]
Frame = Callable[[str], tuple[Vector, Vector]]


class Selected(NamedTuple):
    """The events of a chunk that pass the cuts.

    objects: (events, var) the boson's; npv, njets: (events,); good: (events,) those with every pTmiss. cutflow and
    remarks are of the whole chunk, notes of the pTmiss.
    """

    events: Any
    objects: ak.Array
    npv: NDArray
    njets: NDArray
    weights: EventWeights
    mets: MetResult
    good: NDArray[np.bool_]
    cutflow: dict[str, Any]
    notes: dict[str, int]
    remarks: dict[str, int]

    def covariance(self, estimator: str) -> Array | None:
        """(good events, 2, 2) covariance of an estimator's pTmiss, GeV²; None if it has none."""
        found = self.mets.covariance.get(estimator)
        return None if found is None else found[self.good]


class RecoilProcessor(ProcessorABC):
    """A processor with estimators and a selection.

    estimators: from :func:`ptmiss.estimators.make_estimators`; selection: a Selection, the name of a preset or a file,
    None for the ``usual`` one of the processor's ``channel``; vertex: ``default`` or ``lepton`` (see
    :mod:`ptmiss.vertex`).
    """

    event_branches: tuple[str, ...] = ()
    channel: str | None = None
    usual = "default"

    def __init__(
        self, estimators: Sequence[Estimator], selection: Selection | str | None = None, vertex: str = "default"
    ):
        self.estimators = list(estimators)
        self.selection = of_channel(selection or self.usual, self.channel)
        self.vertex = vertices.check(vertex)

    @property
    def names(self) -> list[str]:
        """Names of the estimators."""
        return [estimator.name for estimator in self.estimators]

    def require(self, there: Collection[str], path: str, metadata: Mapping[str, Any]) -> None:
        """Raise ColumnError unless a file with these branches has all that the processor needs."""
        for branch in (*self.event_branches, *branches(self.selection)):
            if branch not in there:
                kind = branch.split("_")[0]
                siblings = sorted(b for b in there if b.startswith(f"{kind}_"))
                if kind in there and not siblings:
                    raise ColumnError(f"{path}: {kind} is a column of records, expected one for each field, {branch}")
                raise ColumnError(
                    f"processor {type(self).__name__} needs branch {branch}, which {path} does not have; "
                    f"{kind} branches there: {', '.join(siblings[:12]) or 'none'}"
                )
        quality.require(self.selection, metadata, there, path)
        leptons = self.selection.of_era(metadata.get("era")).leptons
        if leptons.momentum and not self.selection.photon:
            momenta.require(leptons.momentum, leptons.flavour, there, path)
            require_once(self.estimators, leptons.flavour)
        weights.require(self.selection.weights, there, path, metadata)
        for estimator in self.estimators:
            estimator.require(there, path)
            estimator.require_era(metadata, simulated=metadata.get("kind") != "data")
        if self.vertex == vertices.LEPTON:
            of_file = [estimator for estimator in self.estimators if estimator.reconstruction is None]
            vertices.require({estimator.name: estimator.columns for estimator in of_file}, there, path)

    def generator_weight(self, events: Any) -> Array:
        """(events,) what a cross section is normalised to: the generator's weight, or its sign."""
        return weights.generator_weight(self.selection.weights, events)

    def event_weights(self, events: Any, leptons: ak.Array, factor: Array | None = None) -> EventWeights:
        """All weights of events, and their variations; factor: (events,) another weight, which has none."""
        kind = "photons" if self.selection.photon else f"{self.selection.leptons.flavour}s"
        return weights.evaluate(self.selection.weights, events, {kind: leptons}, factor)

    def book(self, *kinds: Callable[..., dict[str, hist.Hist]]) -> dict[str, hist.Hist]:
        """Empty histograms of some kinds, such as ``book_recoil``, in the bins of the selection."""
        return {name: h for kind in kinds for name, h in kind(self.names, self.selection.binning).items()}

    def mets(self, events: Any, objects: ak.Array) -> MetResult:
        """PTmiss of every estimator, with what the momenta of the selected objects were corrected by."""
        found = evaluate(
            self.estimators, events, propagation.bare(objects), self.vertex, propagation.radiation(objects)
        )
        return propagation.propagate(found, objects)

    @staticmethod
    def common(mets: MetResult) -> tuple[NDArray[np.bool_], dict[str, int]]:
        """(events,) those with a finite pTmiss of every estimator, which fill histograms; notes count the others."""
        good = finite_in_all(mets.met.values())
        left_out = int(np.count_nonzero(~good))
        return good, {**mets.notes, **({LEFT_OUT: left_out} if left_out else {})}

    def postprocess(self, accumulator: Any) -> Any:
        """Nothing is left to do after the chunks are merged."""
        return accumulator


class CorrectedProcessor(RecoilProcessor):
    """A recoil processor that can correct pTmiss and fill its systematic variations in the same pass.

    Every event gets XY and pile-up weights; the recoil is mapped in simulated signal with a boson.

    corrections: a file that ``ptmiss calibrate`` wrote; workers read it by its path.
    """

    def __init__(
        self,
        estimators: Sequence[Estimator],
        selection: Selection | str | None = None,
        vertex: str = "default",
        corrections: Path | str | None = None,
    ):
        super().__init__(estimators, selection, vertex)
        self.path = None if corrections is None else str(corrections)
        known = self.corrections.estimators if self.corrections else self.names
        for name in self.names:
            if name not in known:
                raise UnknownName(f"estimator of {self.path}", name, known)
            self._require_others(name)
        if (cut := self.selection.met) and self.estimators:
            _require_cut(cut, self.estimators)

    def _require_others(self, estimator: str) -> None:
        """Raise OptionError unless there is all that a joint map of an estimator needs."""
        if self.corrections is None:
            return
        missing = [name for name in self.corrections.needed(estimator) if name not in self.names]
        if missing:
            raise OptionError(
                f"{self.path} maps {estimator} together with others: --estimators needs {', '.join(missing)} too"
            )

    def require(self, there: Collection[str], path: str, metadata: Mapping[str, Any]) -> None:
        """As every recoil processor; with corrections also OptionError unless the metadata say how they are applied."""
        super().require(there, path, metadata)
        if self.path:
            sample_of(metadata)

    @property
    def corrections(self) -> Corrections | None:
        """The corrections, read once in each process."""
        return load(self.path) if self.path else None

    @property
    def of_rapidity(self) -> bool:
        """Whether the corrections depend on the boson's rapidity."""
        return self.corrections is not None and self.corrections.of_rapidity

    def corrected_weights(self, events: Any, leptons: ak.Array, npv: NDArray) -> EventWeights:
        """All weights of events, in simulation with that of the corrections by the number of vertices."""
        corrections = None if is_data(events) else self.corrections
        return self.event_weights(events, leptons, corrections.weight(npv) if corrections else None)

    def select(self, events: Any, cuts_of: Cuts) -> Selected:
        """Select the events of a chunk and run the estimators on them."""
        objects = select.boson_objects(events, self.selection)
        jets = select.good_jets(events.Jet, objects, select.of_events(events, self.selection))
        cuts = cuts_of(events, objects, jets, self.selection)
        keep, missing = cuts.all(), select.remarks(events, self.selection)
        npv, njets = select.vertex_count(events, self.selection), ak.to_numpy(ak.num(jets))
        weights = self.corrected_weights(events, objects, npv)
        events, objects = events[keep], objects[keep]
        mets = self.mets(events, objects)
        good, notes = self.common(mets)
        cutflow, remarks = select.cutflow(cuts, weights.nominal), missing | weights.notes
        return Selected(events, objects, npv[keep], njets[keep], weights[keep], mets, good, cutflow, notes, remarks)

    def passing(
        self,
        kept: Selected,
        every: Mapping[str, Mapping[str, Vector]],
        frames: Mapping[str, Frame],
        rapidity: Array | None = None,
    ) -> dict[str, Mask]:
        """(good events,) those that pass the cut on pTmiss, by systematic; nothing if the selection has no such cut.

        every, frames, rapidity: pTmiss of all estimators by systematic, and what ``variations`` takes with it.
        """
        if (cut := self.selection.met) is None:
            return {}
        where, covariance = (kept.npv[kept.good], kept.njets[kept.good]), kept.covariance(cut.estimator)
        own = every[cut.estimator], frames[cut.estimator]
        mets = self.variations(kept.events, cut.estimator, *own, *where, every, rapidity)
        return {systematic: select.passes(met, covariance, cut) for systematic, met in mets}

    def cutflow(self, kept: Selected, passed: Mapping[str, Mask]) -> dict[str, Any]:
        """The cut flow, with the cut on pTmiss if there is one."""
        if self.selection.met is None:
            return kept.cutflow
        return select.with_met(kept.cutflow, self.selection.met, kept.weights.nominal[kept.good][passed[NOMINAL]])

    def leptons(self, leptons: ak.Array, estimator: str, systematic: str) -> Vector:
        """(events, 2) sum of the leptons' transverse momenta, GeV, with the systematic of an estimator's pTmiss."""
        scales = {each.name: getattr(each, "scales", DEFAULT) for each in self.estimators}[estimator]
        moved = transverse_sum(scale_leptons(leptons, systematic, scales))
        return moved if systematic == NOMINAL else moved + propagation.change(leptons, systematic)

    def centred(self, events: Any, estimator: str, met: Vector, npv: NDArray) -> Vector:
        """(events, 2) pTmiss less its mean in data or simulation, for residuals; unchanged without corrections."""
        if self.corrections is None:
            return met
        return self.corrections.centred(estimator, met, npv, "data" if is_data(events) else "mc")

    def variations(
        self,
        events: Any,
        estimator: str,
        mets: Mapping[str, Vector],
        frame: Frame,
        npv: NDArray,
        njets: NDArray,
        others: Mapping[str, Mapping[str, Vector]] | None = None,
        rapidity: Array | None = None,
    ) -> Iterator[tuple[str, Vector]]:
        """Names of systematics, ``nominal`` first, and (events, 2) pTmiss with each; the recoil is varied in signal.

        mets: the estimator's own variations, each of which is corrected like the nominal one (see MetResult.of).
        frame: gives the (events, 2) boson, and what is seen of it (see ptmiss.recoil.recoil), with a systematic.
        others, rapidity: the same as mets of all estimators, and (events,) of the boson, for a joint map. No systematic
        moves the rapidity.
        """
        if self.corrections is None:
            yield from mets.items()
            return
        sample = sample_of(events.metadata)
        names = self.corrections.systematics(estimator) if sample == "mc" else [NOMINAL]
        own = [(name, met, NOMINAL) for name, met in mets.items()]
        for name, met, systematic in [*own, *((name, mets[NOMINAL], name) for name in names if name != NOMINAL)]:
            boson, visible = frame(name)
            beside = {each: by.get(name, by[NOMINAL]) for each, by in (others or {}).items()}
            where = boson, npv, njets, sample, systematic, visible, beside, rapidity
            yield name, self.corrections.met(estimator, met, *where)


def with_weights(
    mets: Iterable[tuple[str, Vector]], weights: EventWeights, passed: Mapping[str, Mask] = MappingProxyType({})
) -> Iterator[tuple[str, Vector, Mapping[str, Array]]]:
    """Names of systematics of pTmiss, (events, 2) pTmiss, and its (events,) weights by systematic.

    Nominal pTmiss has all variations of the weights, a varied one the nominal weight. passed: (events,) masks by
    systematic, of the nominal one if it is not there; what does not pass has no weight.
    """
    for name, met in mets:
        every = {name: weights.nominal, **(weights.varied if name == NOMINAL else {})}
        mask = passed.get(name, passed.get(NOMINAL, 1.0))
        yield name, met, {each: weight * mask for each, weight in every.items()} if passed else every


def _require_cut(cut: MetCut, estimators: Sequence[Estimator]) -> None:
    """Raise an error unless one of the estimators has what is cut on."""
    found = {each.name: each for each in estimators}
    if cut.estimator not in found:
        raise UnknownName("estimator of the selection's met", cut.estimator, found)
    if cut.of_significance and not found[cut.estimator].significance:
        raise OptionError(f"the selection cuts on the significance of {cut.estimator}: expected --significance too")


def sample_of(metadata: Mapping[str, Any]) -> str:
    """``data``, ``mc`` or ``background``: how corrections treat a dataset; OptionError if nothing says it."""
    name, kind, role = metadata.get("dataset"), metadata.get("kind"), metadata.get("role")
    if kind not in ("data", "mc"):
        raise OptionError(f"--corrections need a kind of dataset {name!r} in its metadata: 'data' or 'mc'")
    if kind == "mc" and role not in ("signal", "background"):
        raise OptionError(
            f"--corrections need a role of dataset {name!r} in its metadata: 'signal', whose recoil is mapped, "
            "or 'background'"
        )
    return "data" if kind == "data" else "background" if role == "background" else "mc"


def require_once(estimators: Iterable[Estimator], flavour: str) -> None:
    """Raise OptionError if an estimator varies the leptons of a flavour whose momenta the selection varies already."""
    for estimator in estimators:
        if f"{flavour}s" in estimator.systematics:
            raise OptionError(
                f"systematic '{flavour}s' of {estimator.name} and [leptons.momentum] of the selection would both vary "
                f"the scale of the {flavour}s: name the kinds without {flavour}s"
            )
