from __future__ import annotations

import numpy as np
import pytest

from ptmiss.simulation import tracks, vertices


def test_the_hard_collision_is_the_primary_vertex(crossings, reconstructed):
    for crossing, seen in zip(crossings, reconstructed, strict=True):
        assert seen.vertices.hard
        assert seen.vertices.position[0] == pytest.approx(crossing.vertices[0], abs=0.05)


def test_about_seventy_percent_of_the_collisions_are_found(crossings, reconstructed):
    found = sum(len(seen.vertices.tracks) for seen in reconstructed)
    assert 0.55 < found / sum(len(crossing.vertices) for crossing in crossings) < 0.95


def test_close_collisions_merge():
    group = vertices._merge(np.array([0.0, 3.0, 0.05, 5.0, 0.10]), np.array([True, True, True, False, True]))
    assert group.tolist() == [0, 1, 0, -1, 0]


def test_without_tracks_the_beam_spot_is_the_vertex(mc):
    none = tracks.Tracks(
        *(np.zeros(0) for _ in range(9)),
        *(np.zeros(0, dtype=int) for _ in range(2)),
        *(np.zeros(0, bool) for _ in range(2)),
    )
    found = vertices.find(none, np.zeros(0, dtype=np.int32), np.zeros((1, 3)), mc.beam, np.random.default_rng(1))
    assert found.position.tolist() == [[mc.beam.x, mc.beam.y, 0.0]]
    assert not found.hard


def test_association_follows_the_rules(reconstructed):
    for seen in reconstructed:
        track = seen.elements.of(1)
        assert set(track.from_pv) <= {0, 1, 2, 3}
        assert set(track.quality) <= {1, 5, 6, 7}
        assert np.all(track.quality[np.isin(track.from_pv, (0, 3))] >= 6)
        assert np.all(track.quality[np.isin(track.from_pv, (1,))] <= 5)


def test_tracks_of_the_hard_collision_are_mostly_kept_and_pileup_mostly_not(crossings, reconstructed):
    kept, total = np.zeros(2), np.zeros(2)
    for crossing, seen in zip(crossings, reconstructed, strict=True):
        real = seen.tracks.particle != tracks.FAKE
        soft = crossing.collision[seen.tracks.particle[real]] > 0
        from_pv = seen.elements.of(1).from_pv[real] >= 2
        kept += [from_pv[~soft].sum(), from_pv[soft].sum()]
        total += [(~soft).sum(), soft.sum()]
    assert kept[0] / total[0] > 0.85
    assert kept[1] / total[1] < 0.1
