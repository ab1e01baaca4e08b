from __future__ import annotations

import subprocess
import sys

import awkward as ak
import numpy as np
import pytest
import uproot

from ptmiss import simulation
from ptmiss.errors import FileError, OptionError, UnknownName
from ptmiss.simulation import events, generator, pileup, production


@pytest.fixture(autouse=True)
def _small_blocks(monkeypatch):
    pytest.importorskip("fastjet")
    monkeypatch.setattr(production, "BLOCK_SIZE", 4)


@pytest.fixture
def job(library_file, tmp_path):
    """A small production without Pythia: pions and a little pile-up."""

    def run(name="out.root", **options):
        chosen = {"pileup_mean": 3, "pileup_spread": 0, "elements": True, "library": library_file} | options
        return simulation.simulate("gun_pion", 10, 5, tmp_path / name, **chosen)

    return run


def _content(path):
    with uproot.open(path) as file:
        return file["Events"].arrays()


def _same(first, second):
    return all(ak.array_equal(first[name], second[name]) for name in first.fields)


def test_the_same_seed_gives_the_same_file(job):
    first, second = job("a.root"), job("b.root")
    assert (first.events, first.resumed) == (10, 0)
    assert _same(_content(first.path), _content(second.path))


@pytest.mark.slow
def test_the_number_of_workers_does_not_matter(job):
    assert _same(_content(job("a.root").path), _content(job("b.root", workers=2).path))


def test_data_and_simulation_never_share_an_event(job):
    mc, data = _content(job("mc.root").path), _content(job("data.root", profile="data").path)
    assert not ak.any(mc.GenPart_pt == data.GenPart_pt)
    assert set(data.run) == {360000}


def test_a_changed_parameter_keeps_the_generated_events(job):
    first, second = _content(job("a.root").path), _content(job("b.root", overrides={"hcal_scale": 0.8}).path)
    assert ak.array_equal(first.GenPart_pt, second.GenPart_pt)
    assert ak.array_equal(first.Pileup_nPU, second.Pileup_nPU)
    assert not ak.array_equal(first.MET_pt, second.MET_pt)


def test_an_interrupted_job_goes_on(job, tmp_path, monkeypatch):
    whole = _content(job("whole.root").path)
    simulate_block, made = events.simulate_block, []

    def fails_at_the_third(block, *rest):
        if block.number == 2:
            raise KeyboardInterrupt
        made.append(block.number)
        return simulate_block(block, *rest)

    monkeypatch.setattr(events, "simulate_block", fails_at_the_third)
    with pytest.raises(KeyboardInterrupt):
        job("out.root")
    assert not (tmp_path / "out.root").exists()
    monkeypatch.setattr(
        events, "simulate_block", lambda block, *rest: made.append(block.number) or simulate_block(block, *rest)
    )
    assert job("out.root").resumed == 8
    assert made == [0, 1, 2]
    assert _same(whole, _content(tmp_path / "out.root"))
    assert not (tmp_path / "out.root.parts").exists()


def test_another_job_does_not_use_what_is_left(job, tmp_path, monkeypatch):
    parts = tmp_path / "out.root.parts"
    parts.mkdir()
    (parts / "job.json").write_text("another")
    (parts / "block-00000.parquet").write_text("broken")
    assert job("out.root").resumed == 0


def test_progress_is_told(job):
    told = []
    job("out.root", progress=lambda *told_now: told.append(told_now))
    assert [(done, total) for _, done, total in told] == [(4, 10), (8, 10), (10, 10)]


def test_some_events_with_elements(job):
    content = _content(job("out.root", elements=5).path)
    assert (content.nPFElement > 0).tolist() == [True] * 5 + [False] * 5


def test_rntuple(job):
    with uproot.open(job("out.root", file_format="rntuple").path) as file:
        assert file["Events"].num_entries == 10


@pytest.mark.parametrize(
    ("arguments", "options", "error", "message"),
    [
        (("zmumuu", 1, 1), {}, UnknownName, "unknown process 'zmumuu'"),
        (("gun_pion", 0, 1), {}, OptionError, "cannot simulate 0 events"),
        (("gun_pion", 1, -1), {}, OptionError, "the seed is -1"),
        (("gun_pion", 1, 1), {"workers": 0}, OptionError, "cannot work with 0 workers"),
        (("gun_pion", 1, 1), {"file_format": "csv"}, OptionError, "unknown file format 'csv'; known: ttree, rntuple"),
        (("gun_pion", 1, 1), {"profile": "real"}, UnknownName, "unknown profile 'real'"),
        (("gun_pion", 1, 1), {"overrides": {"hcal": 1.0}}, UnknownName, "unknown simulation parameter 'hcal'"),
        (("gun_pion", 1, 1), {"pileup_mean": -1}, OptionError, "pileup_mean is -1"),
        (("gun_pion", 1, 1), {"library": "missing.npz"}, FileError, "missing.npz is not a particle library"),
    ],
)
def test_bad_input_is_one_clear_line(tmp_path, arguments, options, error, message):
    with pytest.raises(error, match=message) as raised:
        simulation.simulate(*arguments, tmp_path / "out.root", **options)
    assert "\n" not in str(raised.value)
    assert not (tmp_path / "out.root").exists()


def test_an_output_that_cannot_be_written(tmp_path, library_file):
    with pytest.raises(FileError, match="its directory does not exist or is not writable"):
        simulation.simulate("gun_pion", 1, 1, tmp_path / "nowhere" / "out.root", library=library_file)
    with pytest.raises(FileError, match="cannot write"):
        simulation.simulate("gun_pion", 1, 1, tmp_path, library=library_file)


def test_a_full_disk_is_one_clear_line(job, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(production.output, "save_block", full)
    with pytest.raises(FileError, match="No space left on device; what is done stays in"):
        job("out.root")
    assert not (tmp_path / "out.root").exists()


@pytest.mark.slow
def test_importing_loads_neither_pythia_nor_fastjet():
    code = "import sys, ptmiss.simulation; print(sorted({'pythia8mc', 'fastjet'} & set(sys.modules)))"
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"
    )


def test_a_library_is_made_once(tmp_path, monkeypatch):
    asked = []

    def pions(number, n, seed, start_file):
        asked.append(seed)
        return number, generator.shoot(211, n, np.random.default_rng(seed)).library

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(production, "LIBRARY_BLOCK", 10)
    monkeypatch.setattr(production, "_minimum_bias", pions)
    monkeypatch.setattr(generator, "start", lambda what, seed, path, tune: path.touch())
    first = production.pileup_library("mc", size=25)
    assert len(pileup.load(first)) == 25
    assert production.pileup_library("mc", size=25) == first
    assert len(asked) == 3
    assert production.pileup_library("data", size=25) != first
    assert len(set(asked)) == 6


@pytest.mark.slow
def test_a_directory_of_somebody_else_is_not_taken_for_what_is_half_done(tmp_path):
    parts = tmp_path / "a.root.parts"
    parts.mkdir()
    (parts / "thesis.tex").touch()
    with pytest.raises(FileError, match="holds something else: move it away"):
        production.simulate("zmumu", 1, 1, tmp_path / "a.root")
    assert (parts / "thesis.tex").exists()
