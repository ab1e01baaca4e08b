"""Estimators by their names."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from ptmiss.errors import OptionError, UnknownName
from ptmiss.estimators import reconstruction
from ptmiss.estimators.reconstruction import MLPF, RECONSTRUCTIONS, Reconstruction, whose
from ptmiss.files import AnyPath
from ptmiss.leptons import EXACT, TREATMENTS
from ptmiss.networks.descriptions import trained_on
from ptmiss.networks.registry import SUPERCLUSTERS, load_model, shipped_models, weights_file
from ptmiss.progress import log
from ptmiss.significance import SHIPPED, read

from .base import Estimator
from .elements import OnReconstruction
from .network import NetworkEstimator
from .remote import REMOTE, Remote
from .stored import STORED, Stored
from .sums import SUMS, WeightedSum
from .type1 import RAW, TYPE1, Type1


def make_estimators(
    wanted: str | Iterable[str],
    weights: Mapping[str, AnyPath] | None = None,
    leptons: str = EXACT,
    *,
    systematics: Iterable[str] = (),
    jerc: AnyPath = "",
    smear: AnyPath = "",
    significance: AnyPath | None = None,
) -> list[Estimator]:
    """Make estimators from their names, and read and check the weights file of each network.

    Args:
        wanted: names, see the list in ptmiss.estimators; or one text of names with commas.
        weights: weights file or folder of a network by its name. That of ``mlpf`` is also used by ``mlpf_puppi`` and
            ``deepmet_mlpf``.
        leptons: treatment of the selected leptons by networks, ``exact`` or ``as-candidates`` (see ptmiss.leptons).
        systematics: names of variations of all estimators, or ``ESTIMATOR=NAME`` for those of one.
        jerc: JSON of the energy of jets from CMS's JME group, for type-1 corrections (see ptmiss.corrections.jets).
        smear: JSON with ``JERSmear``, to smear simulated jets.
        significance: numbers for the significance of all estimators: ``shipped``, or a file (see ptmiss.significance).

    Returns:
        The estimators in the given order, each once.

    Raises:
        UnknownName: no estimator has this name.
        OptionError: no estimator is named, what is named is no text, or a weights file belongs to none of them.
        FileError: a weights file does not exist.
        WeightsError: a weights file is damaged, or holds another network.
        CorrectionError: the file of the jets' energy is another.
    """
    if leptons not in TREATMENTS:
        raise UnknownName("treatment of the leptons", leptons, TREATMENTS)
    weights = dict(weights or {})
    wanted = wanted.split(",") if isinstance(wanted, str) else wanted
    wanted = list(wanted) if isinstance(wanted, Iterable) else [wanted]
    for name in wanted:
        if not isinstance(name, str):
            raise OptionError(f"expected the name of an estimator, not {name!r} ({type(name).__name__})")
    files = str(jerc), str(smear)
    estimators = [_build(name, weights, leptons, files) for name in dict.fromkeys(wanted)]
    unused = weights.keys() - {used for e in estimators for used in _weights_names(e.name)}
    if unused:
        raise OptionError(
            f"--weights names {', '.join(sorted(unused))}, which is not among the estimators: "
            f"{', '.join(e.name for e in estimators)}"
        )
    if not estimators:
        raise OptionError(f"expected at least one estimator; known: {', '.join(names(weights))}")
    if significance is not None:
        noise = read(SHIPPED if str(significance) == "shipped" else significance)
        estimators = [each.with_significance(noise) for each in estimators]
    return vary(estimators, systematics, str(jerc))


def vary(estimators: Iterable[Estimator], systematics: Iterable[str], jerc: str = "") -> list[Estimator]:
    """The estimators with systematics: names for all, ``ESTIMATOR=NAME`` for one; jerc: JSON of the jets' energy."""
    given: dict[str, list[str]] = {estimator.name: [] for estimator in estimators}
    for one in systematics:
        estimator, _, name = one.rpartition("=")
        if estimator and estimator not in given:
            raise UnknownName("estimator with systematics", estimator, given)
        for chosen in [estimator] if estimator else given:
            given[chosen].append(name)
    return [each.vary(given[each.name], jerc) if given[each.name] else each for each in estimators]


def _build(name: str, weights: Mapping[str, AnyPath], leptons: str, files: tuple[str, str]) -> Estimator:
    if parts := reconstruction.parse(name):
        inner, made_by = parts
        network, maker = _inner(name, inner, weights, leptons), reconstruction.build(made_by, weights.get(made_by))
        _require_latents(network, maker)
        _note_candidates(name, network, maker.identity)
        return OnReconstruction(name, network, maker)
    if name.startswith(REMOTE):
        if name not in weights:
            raise OptionError(f"estimator {name!r} needs the address of a server: --weights {name}=triton+grpc://…")
        return Remote(name, str(weights[name]), leptons)
    if name in weights:
        return _on_pf(name, weights[name], leptons)
    if name in SUMS:
        return WeightedSum(name)
    if name.startswith(STORED) and name != STORED:
        return Stored(name)
    if name.startswith(TYPE1) and name.removeprefix(TYPE1) in RAW:
        if not files[0]:
            raise OptionError(f"estimator {name!r} needs a file with the energy corrections of jets: --jerc")
        return Type1(name, *files)
    if name in shipped_models():
        return _on_pf(name, name, leptons)
    raise UnknownName("estimator", name, names(weights))


def _inner(name: str, inner: str, weights: Mapping[str, AnyPath], leptons: str) -> Estimator:
    if inner in SUMS:
        return WeightedSum(inner)
    if name not in weights and inner not in weights and inner not in shipped_models():
        raise UnknownName("estimator", name, names(weights))
    return _network(name, weights.get(name, weights.get(inner, inner)), leptons)


def _weights_names(name: str) -> tuple[str, ...]:
    """The names whose weights files an estimator uses."""
    return (name, *(reconstruction.parse(name) or ()))


def _on_pf(name: str, model: AnyPath, leptons: str) -> NetworkEstimator:
    """A network on the candidates of a file."""
    network = _network(name, model, leptons)
    _require_latents(network, None)
    _note_candidates(name, network, {})
    return network


def _network(name: str, model: AnyPath, leptons: str) -> NetworkEstimator:
    path = str(weights_file(model))
    load_model(path)
    return NetworkEstimator(name, path, leptons)


def _require_latents(network: Estimator, made_by: Reconstruction | None) -> None:
    """Raise OptionError if a network needs the latents of an MLPF, and what makes its candidates has not as many."""
    needed = network.model.latents if isinstance(network, NetworkEstimator) else 0
    if not needed or (made_by and made_by.latents == needed):
        return
    there = f"{made_by.name} gives {made_by.latents or 'none'}" if made_by else "files have none"
    name = network.name.removesuffix(f"_{made_by.name}") if made_by else network.name
    raise OptionError(
        f"estimator {network.name!r} needs {needed} latents of the MLPF that makes its candidates, and {there}: "
        f"run it as {name}_{MLPF}"
    )


def _note_candidates(name: str, network: Estimator, given: Mapping[str, str]) -> None:
    """Say so if a network was trained on other candidates than it is given; given: identity of a reconstruction."""
    if isinstance(network, NetworkEstimator) and (trained := trained_on(Path(network.weights))) != given:
        log.warning("%s: its network was trained on %s, and is given %s", name, whose(trained), whose(given))


def names(weights: Iterable[str] = ()) -> list[str]:
    """All names of estimators; weights: additional networks."""
    networks = [
        name for name in dict.fromkeys((*shipped_models(), *weights)) if name not in (*RECONSTRUCTIONS, SUPERCLUSTERS)
    ]
    return [*SUMS, *networks, *reconstruction.estimator_names(), f"{STORED}<Branch>", *(f"{TYPE1}{met}" for met in RAW)]
