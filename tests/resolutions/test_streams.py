"""Numbers of a table that is read some rows at a time are those of the table in memory, to the last bit."""

import numpy as np
import pandas as pd
import pytest

from ptmiss import resolutions, sample, table
from ptmiss.files import parquet
from ptmiss.resolutions import comparison, jacobian

FEW = ("pf", "puppi")


@pytest.fixture(params=[997, 65_536])
def batch(request, monkeypatch):
    monkeypatch.setattr(table.storage, "BATCH", request.param)
    return request.param


def split(name, folder):
    """The embedded table in three files."""
    whole = table.read(sample.recoil(name))
    for i, (low, high) in enumerate(((0, 5000), (5000, 5001), (5001, len(whole)))):
        with table.writing(folder / f"{i}.parquet") as writer:
            writer.write(whole.data.slice(low, high - low))
            writer.close({**whole.provenance, parquet.PART: i})
    return table.open_table(folder).only(FEW), whole.only(FEW)


def test_histograms(batch, tmp_path):
    stored, whole = split("zmumu", tmp_path)
    found, expected = resolutions.fill(stored), resolutions.fill(whole)
    assert found.left_out == expected.left_out
    for name, histogram in expected.histograms.items():
        np.testing.assert_array_equal(found.histograms[name].view(flow=True), histogram.view(flow=True))


def test_comparisons_with_their_bootstrap_errors(batch, tmp_path):
    frames = [
        comparison.of_table(part, ["pf"], edges=comparison.edges(["njets"]), replicas=5)
        for part in split("zmumu", tmp_path)
    ]
    pd.testing.assert_frame_equal(*frames, check_exact=True)
    assert (frames[0]["rms_perp_vs_pf_error"] > 0).any()


def test_transverse_masses_with_their_bootstrap_errors(batch, tmp_path):
    frames = [jacobian.of_table(part, ["pf"], replicas=5) for part in split("wmunu", tmp_path)]
    pd.testing.assert_frame_equal(*frames, check_exact=True)
