from __future__ import annotations

import pytest

from ptmiss.errors import OptionError, UnknownName
from ptmiss.simulation import parameters


def test_data_differ_from_simulation_exactly_where_said():
    mc, data = parameters.profile("mc"), parameters.profile("data")
    values, others = (p.detector._asdict() | p.beam._asdict() | p.tune._asdict() for p in (mc, data))
    changed = {key: value for key, value in others.items() if value != values[key]}
    assert changed == parameters.DATA


def test_one_difference_can_be_switched_on_alone():
    changed = parameters.profile("mc", hcal_scale=0.93, shift_x=-0.1)
    assert changed.detector == parameters.Detector(hcal_scale=0.93, shift_x=-0.1)
    assert changed.beam == parameters.Beam()


def test_wrong_names_and_values_are_refused():
    with pytest.raises(UnknownName, match="unknown profile 'MC'"):
        parameters.profile("MC")
    with pytest.raises(UnknownName, match="did you mean 'hcal_scale'"):
        parameters.profile("mc", hcal_scal=0.9)
    with pytest.raises(OptionError, match="pileup_mean is -3; it has to be 0 or more"):
        parameters.profile("mc", pileup_mean=-3)
    with pytest.raises(OptionError, match="hcal_noise is nan"):
        parameters.profile("mc", hcal_noise=float("nan"))
