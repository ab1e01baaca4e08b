"""Work in several processes: the same as in one."""

import os

import pytest

from ptmiss import processes
from ptmiss.errors import OptionError


def square(number):
    return number**2, os.getpid()


def refuse(number):
    raise OptionError(f"not {number}")


@pytest.mark.parametrize("workers", [1, 2])
def test_results_come_in_the_order_of_the_items(workers):
    found = list(processes.each(square, range(5), workers))
    assert [number for number, _ in found] == [0, 1, 4, 9, 16]
    assert all((pid == os.getpid()) == (workers == 1) for _, pid in found)


@pytest.mark.parametrize("workers", [1, 2])
def test_an_error_of_one_is_raised(workers):
    with pytest.raises(OptionError, match="not 1"):
        list(processes.each(refuse, [1, 2], workers))
