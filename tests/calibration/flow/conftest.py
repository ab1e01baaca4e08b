from contextlib import contextmanager

import numpy as np
import pytest

pytest.importorskip("zuko")

from ptmiss import table, verbs
from ptmiss.calibration import figures
from ptmiss.calibration.flow import derivation, toys
from ptmiss.models.recoilflow import students
from ptmiss.recoil import cartesian, met_from_recoil

from .. import toys as tables

TINY = {"epochs": 3, "batch": 256, "rate": 1e-2, "hidden": (16,), "bins": 5}


def columns(toy, sample, rng):
    """Columns of a recoil table of a toy's events."""
    qt, n = toy.context["qt"], len(toy)
    boson = cartesian(qt, rng.uniform(-np.pi, np.pi, n))
    found = tables.columns(tables.MC, n, sample, rng)
    found |= {name: toy.context[name] for name in ("njets", "npv")} | table.polar("boson", boson)
    for k, estimator in enumerate(toys.ESTIMATORS):
        met = met_from_recoil(qt + toy.u[:, 2 * k], toy.u[:, 2 * k + 1], boson)
        found |= table.polar(f"met_{estimator}", met)
    return found


@pytest.fixture(scope="session")
def joint_tables(tmp_path_factory):
    """Recoil tables of both samples of the joint toys, and of top pairs that are not in the data."""
    directory, rng = tmp_path_factory.mktemp("joint"), np.random.default_rng(5)
    out = {s: columns(toys.draw(s, 2600, seed), s, rng) for seed, s in enumerate(("data", "mc"))}
    out["top"] = columns(toys.draw("mc", 300, 9), "mc", rng)
    return {name: tables.write(directory / f"{name}.parquet", part) for name, part in out.items()}


@contextmanager
def quick():
    """Little teaching, of few events."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(students, "ROWS", 4000)
        for name, value in {"TEACHING": 10, "VARYING": 2, "VARIED_ROWS": 2000, "TAUGHT": (16, 16)}.items():
            patch.setattr(derivation, name, value)
        yield patch


def calibration_of(data, mc):
    """A calibration of two samples without backgrounds, by flows with little training."""
    with quick():
        options = derivation.Options(members=2, recipe=TINY)
        return derivation.derive(data, mc, [], toys.ESTIMATORS, options, minimum=300)


@pytest.fixture(scope="session")
def flow_calibration(joint_tables, tmp_path_factory):
    """A directory of a calibration by a flow with little training, taught with few events."""
    output = tmp_path_factory.mktemp("calibration") / "out"
    with quick() as patch:
        patch.setattr(figures, "draw", lambda *_: [])  # those of the double Gaussians have tests of their own
        verbs.calibrate(
            joint_tables["data"],
            joint_tables["mc"],
            output,
            toys.ESTIMATORS,
            [f"{joint_tables['top']}=0.1"],
            method="flow",
            flow={"members": 2, "recipe": TINY},
        )
    return output
