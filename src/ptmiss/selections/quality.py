"""Quality of the data: certified luminosity sections, triggers of primary datasets, noise filters.

``judge`` has every cut by its name, the same in data and simulation and in all chunks of a dataset; ``remarks`` says
what a file lacks. What is not asked of some events passes all of them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

import awkward as ak
import numpy as np
from numpy.typing import NDArray

from ptmiss.errors import ColumnError, hint

from . import filters, jet_quality, sections
from .jet_quality import in_veto_map
from .objects import identified_jets, in_acceptance
from .schema import Selection, metadata_of, of_events

GOLDEN_JSON, TRIGGER, OVERLAP, FLAG, VETO_MAP = "golden JSON", "trigger", "overlap", "Flag_", "jet veto map"
NO_FILTERS = "event of a file without any Flag_, so without noise filters"
UNIDENTIFIED = "jet in acceptance that fails the identification, left out"
UNKNOWN_ERA = "event without an era, asked for the filters that all eras share"

Masks = dict[str, NDArray[np.bool_]]


def judge(events: Any, selection: Selection) -> Masks:
    """(events,) mask of each cut on the quality of the data, by its name and in its order."""
    about, selection = metadata_of(events), of_events(events, selection)
    data = about.get("kind") != "mc"
    return {
        GOLDEN_JSON: certified(events, asked_sections(about, selection) if data else None),
        TRIGGER: triggered(events, asked_triggers(about, selection)),
        OVERLAP: ~fired(events, about.get("veto_triggers", ())),
        **{f"{FLAG}{name}": passed for name, passed in filtered(events, selection).items()},
        **({VETO_MAP: ~in_veto_map(events, selection, where)} if (where := selection.quality.veto_map) else {}),
    }


def asked_sections(metadata: Mapping[str, Any], selection: Selection) -> str:
    """The golden JSON of a dataset, else of the selection; empty if neither names one."""
    return metadata.get("golden_json") or selection.quality.golden_json


def asked_triggers(metadata: Mapping[str, Any], selection: Selection) -> tuple[str, ...]:
    """The triggers of which an event must have fired one: of its dataset, else of the selection."""
    return tuple(metadata.get("triggers") or selection.quality.triggers)


def own_events(events: Any) -> NDArray[np.bool_]:
    """(events,) those that belong to this dataset: fired one of its triggers, and none of the datasets before it.

    So an event that several primary datasets recorded is in one of them. All are where the fileset names no triggers.
    """
    about = metadata_of(events)
    return triggered(events, about.get("triggers", ())) & ~fired(events, about.get("veto_triggers", ()))


def triggered(events: Any, triggers: Collection[str]) -> NDArray[np.bool_]:
    """Events that fired any of the triggers (``HLT_IsoMu24`` for one) that the file has; all if none is named."""
    return fired(events, triggers) if triggers else np.ones(len(events), bool)


def fired(events: Any, triggers: Collection[str]) -> NDArray[np.bool_]:
    """(events,) those that fired any of the triggers that the file has."""
    there = events.HLT.fields if triggers and "HLT" in events.fields else ()
    paths = [path for trigger in triggers if (path := trigger.removeprefix("HLT_")) in there]
    return _any((ak.to_numpy(events.HLT[path]).astype(bool) for path in paths), events)


def _any(masks: Iterable[NDArray[np.bool_]], events: Any) -> NDArray[np.bool_]:
    """(events,) those in any of the masks."""
    return np.logical_or.reduce([np.zeros(len(events), bool), *masks])


def filtered(events: Any, selection: Selection) -> Masks:
    """(events,) mask of each filter: of those that the selection names, or of those of the era.

    A filter of the era passes events of a year in which it is not asked, and of a file that does not have it.
    """
    return {name: ~asked | flag(events, name) for name, asked in asked_filters(events, selection).items()}


def asked_filters(events: Any, selection: Selection) -> Masks:
    """(events,) where each filter is asked. If nothing states the era, the run number tells the year of data."""
    everywhere = np.ones(len(events), bool)
    if not isinstance(selection.quality.filters, str):
        return dict.fromkeys(selection.quality.filters, everywhere)
    stated = filters.year(selection.quality.era or metadata_of(events).get("era"))
    if stated != filters.UNKNOWN:
        return dict.fromkeys(filters.of_year(stated), everywhere)
    taken = filters.years(ak.to_numpy(events.run)) if "run" in events.fields else np.full(len(events), filters.UNKNOWN)
    return {name: np.isin(taken, filters.years_with(name)) for name in filters.NAMES}


def flag(events: Any, name: str) -> NDArray[np.bool_]:
    """(events,) those that pass a filter; all of a file that does not have it."""
    return ak.to_numpy(events.Flag[name]).astype(bool) if name in flags(events) else np.ones(len(events), bool)


def flags(events: Any) -> list[str]:
    """Names of the flags that a file has."""
    return events.Flag.fields if "Flag" in events.fields else []


def remarks(events: Any, selection: Selection) -> dict[str, int]:
    """What a file lacks of what its events should be asked, with their number, and how many jets are not identified."""
    return _missing(events, selection) | _unidentified(events, of_events(events, selection))


def _unidentified(events: Any, selection: Selection) -> dict[str, int]:
    if not selection.jets.identification:
        return {}
    wrong = in_acceptance(events.Jet, selection.jets) & ~identified_jets(events.Jet, selection.jets)
    return {UNIDENTIFIED: int(ak.sum(wrong))} if ak.any(wrong) else {}


def _missing(events: Any, selection: Selection) -> dict[str, int]:
    if isinstance(selection.quality.filters, str) and not flags(events):
        return {NO_FILTERS: len(events)}
    asked = asked_filters(events, selection)
    missing = {name: mask for name, mask in asked.items() if name not in flags(events)}
    without = f"event of a file without {', '.join(f'{FLAG}{name}' for name, mask in missing.items() if mask.any())}"
    notes = {without: _any(missing.values(), events)}
    if isinstance(selection.quality.filters, str) and len(asked) == len(filters.NAMES):
        notes[UNKNOWN_ERA] = ~_any((mask for name, mask in asked.items() if name not in filters.ALL_YEARS), events)
    return {what: n for what, mask in notes.items() if (n := int(np.count_nonzero(mask)))}


def require(selection: Selection, metadata: Mapping[str, Any], there: Collection[str], path: str) -> None:
    """Raise an error if a file lacks what is asked of its events, or a golden JSON cannot be read.

    A file needs one of the triggers, each of those that veto, and each filter that the selection names.
    """
    selection = selection.of_era(metadata.get("era"))
    triggers, vetoes = asked_triggers(metadata, selection), metadata.get("veto_triggers", ())
    known = [branch for branch in there if branch.startswith("HLT_")]
    if triggers and not any(trigger in there for trigger in triggers):
        raise ColumnError(
            f"{path} has none of the triggers {', '.join(triggers)} that its fileset or selection names"
            f"{hint(triggers[0], known)}"
        )
    for trigger in vetoes:
        if trigger not in there:
            raise ColumnError(f"{path} has no {trigger}, of which its fileset makes a veto{hint(trigger, known)}")
    _require_filters(selection, there, path)
    jet_quality.require(selection, there, path)
    if golden_json := asked_sections(metadata, selection):
        sections.read(golden_json)


def _require_filters(selection: Selection, there: Collection[str], path: str) -> None:
    for name in () if isinstance(selection.quality.filters, str) else selection.quality.filters:
        if f"{FLAG}{name}" not in there:
            known = sorted(branch.removeprefix(FLAG) for branch in there if branch.startswith(FLAG))
            raise ColumnError(
                f"{path} has no filter {FLAG}{name}, which the selection names{hint(name, known)}; "
                f"there: {', '.join(known) or 'none'}"
            )


def certified(events: Any, golden_json: str | None) -> NDArray[np.bool_]:
    """Events in the certified luminosity sections of a golden JSON; all if none is named."""
    if not golden_json:
        return np.ones(len(events), bool)
    return sections.certified(events.run, events.luminosityBlock, golden_json)
