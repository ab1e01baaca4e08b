from __future__ import annotations

import numpy as np
import pytest

from ptmiss.errors import FileError
from ptmiss.simulation import parameters, pileup


def test_number_of_collisions_follows_the_profile(zmumu, minbias):
    beam = parameters.profile("mc", pileup_mean=20, pileup_spread=4).beam
    rng = np.random.default_rng(1)
    extra = np.array(
        [len(pileup.cross(zmumu.library.collision(0), minbias, beam, rng).vertices) - 1 for _ in range(300)]
    )
    assert extra.mean() == pytest.approx(20, abs=4 * 6 / np.sqrt(300))
    assert extra.std() == pytest.approx(6, rel=0.2)


def test_without_pileup_only_the_hard_collision_is_there(zmumu, minbias, mc):
    hard = zmumu.library.collision(0)
    crossing = pileup.cross(hard, minbias, mc.beam._replace(pileup_mean=0.0), np.random.default_rng(1))
    assert np.array_equal(crossing.particles.px, hard.px)
    assert crossing.collision.tolist() == [0] * len(hard.px)
    assert crossing.mean == 0


def test_turning_and_flipping_keeps_pt_and_the_distance_to_the_vertex(crossings, minbias):
    crossing = crossings[0]
    soft = crossing.collision > 0
    assert np.isin(np.round(crossing.particles.pt[soft], 3), np.round(minbias.particles.pt, 3)).mean() > 0.99
    offset = np.stack(crossing.particles[4:7], axis=1) - crossing.vertices[crossing.collision]
    distance = np.sort(np.linalg.norm(offset[soft], axis=1))
    assert distance[len(distance) // 2] < 0.01


def test_collisions_lie_around_the_beam_spot(zmumu, minbias, mc):
    rng = np.random.default_rng(4)
    vertices = np.concatenate(
        [pileup.cross(zmumu.library.collision(0), minbias, mc.beam, rng).vertices for _ in range(60)]
    )
    assert vertices[:, :2].mean(axis=0) == pytest.approx(
        [mc.beam.x, mc.beam.y], abs=3 * mc.beam.sigma_xy / np.sqrt(len(vertices))
    )
    assert vertices[:, 2].std() == pytest.approx(mc.beam.sigma_z, rel=0.05)


def test_a_library_survives_its_file(minbias, library_file):
    again = pileup.load(library_file)
    assert np.array_equal(again.offsets, minbias.offsets)
    assert all(np.array_equal(a, b) for a, b in zip(again.particles, minbias.particles, strict=True))


def test_a_wrong_file_is_one_clear_line(tmp_path):
    wrong = tmp_path / "wrong.npz"
    wrong.write_text("no library")
    with pytest.raises(FileError, match=r"wrong\.npz is not a particle library"):
        pileup.load(wrong)
    with pytest.raises(FileError, match="is not a particle library"):
        pileup.load(tmp_path / "missing.npz")
