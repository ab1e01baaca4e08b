"""What ``ptmiss calibrate`` says when it is stopped."""

import pytest

from ptmiss import verbs

from ..helpers import call


@pytest.mark.parametrize(
    ("method", "said"),
    [
        ("flow", "Interrupted: finished epochs are kept in out; the same command with --resume goes on"),
        ("gaussians", "Interrupted: nothing was written; the same command begins again"),
    ],
)
def test_how_a_stopped_calibration_goes_on(monkeypatch, method, said):
    def stop(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(verbs, "calibrate", stop)
    assert said in call("calibrate", "--data", "d", "--mc", "m", "--output", "out", "--method", method, code=130)
