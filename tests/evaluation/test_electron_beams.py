"""Events of an electron collider: the file's own candidates, jets of ee_genkt, and neither PUPPI nor DeepMET."""

import numpy as np
import pytest

import ptmiss
from ptmiss import sample
from ptmiss.errors import OptionError
from ptmiss.estimators.reconstruction import build
from ptmiss.evaluation import report
from ptmiss.evaluation.study import study

from ..conversion.podio_files import collections, write_tree

pytest.importorskip("fastjet")


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    folder = tmp_path_factory.mktemp("electrons")
    podio = write_tree(folder / "podio.root", collections(), events=4)
    return str(ptmiss.convert(podio, folder / "events.root", detector="cld")[0])


@pytest.fixture(scope="module")
def measured(path):
    return study([path], [build(name) for name in ("elements", "targets")])


def test_each_reconstruction_has_one_ptmiss_and_one_kind_of_jets(measured):
    assert list(measured.met) == ["pf", "elements", "targets"]
    assert {kind for _, kind in measured.jets} == {"chs"}


def test_ptmiss_of_the_files_candidates_and_of_the_neutrinos(measured):
    np.testing.assert_allclose(measured.generated, [[1, 2]] * 4, rtol=1e-6)
    np.testing.assert_allclose(measured.met["pf"], [[-3, 6]] * 4, rtol=1e-5)  # a pion (3, 4), a photon (0, -10)
    np.testing.assert_allclose(measured.met["targets"], [[-3, 6]] * 4, rtol=1e-5)


def test_generated_jets_are_the_particles(measured):
    pairs = measured.jets["targets", "chs"]
    np.testing.assert_allclose(np.sort(pairs.pt), [5] * 4 + [10] * 4, rtol=1e-4)
    np.testing.assert_allclose(pairs.ratio, 1, rtol=1e-4)


def test_a_handful_of_events_has_tables_without_a_warning(measured):
    tables = report.tabulate(measured, replicas=20)
    assert tables.met["bias_x"].tolist() == pytest.approx([-4, tables.met["bias_x"][1], -4])


def test_electrons_and_protons_are_not_one_evaluation(path):
    with pytest.raises(OptionError, match=r"is of electron beams and .* is not: evaluate each by itself"):
        study([path, str(sample.events("zmumu"))], [])
