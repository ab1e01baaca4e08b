"""What is kept of a reconstruction."""

import dataclasses

import numpy as np
import pytest

from ptmiss import sample
from ptmiss.candidates import LATENTS
from ptmiss.estimators import reconstruction
from ptmiss.estimators.network import NEEDED
from ptmiss.events import inspect

pytest.importorskip("torch")

from ptmiss.models.deepmet import cache, dataset

ZMUMU = str(sample.events("zmumu"))


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("PTMISS_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / cache.FOLDER


@pytest.fixture
def made(monkeypatch):
    """The number of events of each call that made candidates."""
    calls = []
    make = dataset.of_events
    monkeypatch.setattr(dataset, "of_events", lambda events, *by: calls.append(len(events)) or make(events, *by))
    return calls


def same(one, other):
    for name in vars(one):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name), err_msg=name)


def test_a_second_reading_makes_nothing_and_is_the_same(folder, made, monkeypatch):
    monkeypatch.setattr(dataset, "PART", 4)
    by = reconstruction.build("elements")
    first = dataset.read([ZMUMU], 10, made_by=by)
    assert made == [3, 3, 4]
    assert len(list(folder.glob("*.npz"))) == 3
    same(dataset.read([ZMUMU], 10, made_by=by), first)
    assert made == [3, 3, 4]


def test_another_reconstruction_or_range_or_a_damaged_file_is_made_anew(folder, made):
    by = reconstruction.build("elements")
    first = dataset.read([ZMUMU], 6, made_by=by)
    dataset.read([ZMUMU], 6, made_by=reconstruction.build("targets"))
    dataset.read([ZMUMU], 6, made_by=reconstruction.build("elements", least=1.0))
    dataset.read([ZMUMU], 5, made_by=by)
    assert made == [6, 6, 6, 5]
    (kept,) = (path for path in folder.glob("*.npz") if same_columns(path, first))
    kept.write_bytes(kept.read_bytes()[:-100])
    same(dataset.read([ZMUMU], 6, made_by=by), first)
    assert made == [6, 6, 6, 5, 6]


def same_columns(path, dataset):
    return np.array_equal(cache.load(path)["features"], dataset.features)


def test_other_code_makes_other_candidates(folder, monkeypatch):
    source, by = inspect(ZMUMU), reconstruction.build("elements")
    one = cache.place(source, (0, 5), by, NEEDED)
    monkeypatch.setattr(cache, "package_digest", lambda: "other")
    assert cache.place(source, (0, 5), by, NEEDED) != one
    other = dataclasses.replace(source, identity=bytes(16))
    places = {cache.place(source, (0, 5), by, wanted) for wanted in (NEEDED, (*NEEDED, LATENTS))}
    assert len({one, cache.place(other, (0, 5), by, NEEDED)} | places) == 4


def test_nothing_is_kept_without_a_folder(made):
    by = reconstruction.build("elements")
    assert cache.place(inspect(ZMUMU), (0, 5), by, NEEDED) is None
    dataset.read([ZMUMU], 5, made_by=by)
    dataset.read([ZMUMU], 5, made_by=by)
    assert made == [5, 5]
