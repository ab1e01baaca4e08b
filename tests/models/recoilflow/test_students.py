import numpy as np
import pytest

from ptmiss.models.recoilflow import students


def moved(u, context):
    """A triangular map that is known: the second component moves with the first, and with the context."""
    first = u[:, 0] + 3 * np.tanh(u[:, 0] / 20) + 0.02 * context[:, 0]
    return np.column_stack([first, 0.9 * u[:, 1] + 0.2 * u[:, 0] + 0.01 * context[:, 0]])


@pytest.fixture(scope="module")
def taught():
    rng = np.random.default_rng(1)
    u, context = rng.normal(0, 15, (4000, 2)), rng.exponential(30, (4000, 1))
    more, at = students.sample(u, context, 12_000, seed=1)
    lessons = students.lessons(more, moved(more, at), at)
    return [students.teach(lesson, (16, 16), 150) for lesson in lessons], more, at


def test_a_student_learns_a_map_that_is_known(taught):
    networks, u, context = taught
    expected = moved(u, context) - u
    for k, network in enumerate(networks):
        core = (np.abs(u[:, : k + 1]) < 30).all(axis=1)
        off = network(np.column_stack([context, u[:, : k + 1]])) - expected[:, k]
        assert np.sqrt(np.mean(off[core] ** 2)) < 0.1
        assert np.sqrt(np.mean(expected[core, k] ** 2)) > 1


def test_the_map_of_a_student_grows(taught):
    networks, u, context = taught
    for k, network in enumerate(networks):
        assert network.slope(np.column_stack([context, u[:, : k + 1]])).min() > 0.5


def test_a_shift_is_carried_on_beyond_the_range(taught):
    network = taught[0][0]
    far = np.array([[30.0, network.high[-1]], [30.0, 10 * network.high[-1]]])
    assert np.ptp(network(far)) == 0


def test_what_is_taught_has_tails_and_keeps_its_range():
    rng = np.random.default_rng(1)
    u = rng.normal(0, 10, (5000, 3))
    more, context = students.sample(u, u[:, :1], 20_000, seed=1)
    pulls = np.abs(more) / u.std(axis=0)
    assert (pulls > students.FAR).any(axis=0).all()
    assert pulls.max() < students.REACH + 0.1
    assert context.shape == (20_000, 1)


def test_tolerances_are_those_of_the_core_and_of_the_tails():
    assert students.tolerance(np.array([0.0, 2, 5])) == pytest.approx([0.05, 0.05, 0.2])
