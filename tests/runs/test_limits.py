"""A trial of a run: what it reads, what it says of the rest, and how it goes on."""

import pytest

from ptmiss import sample
from ptmiss.errors import LedgerError, OptionError
from ptmiss.runs import directory, fileset, runner
from ptmiss.runs.limits import Limits

from ..helpers import call, failure
from .test_runner import Counting


def two():
    """Two files of 60 events each, with a cross section."""
    files = [str(sample.events(name)) for name in ("zmumu", "wmunu")]
    return fileset.parse({"both": {"files": files, "metadata": {"kind": "mc", "cross_section": 2.0}}})


def test_the_first_files_of_each_dataset():
    outputs, details = runner.run(two(), Counting(), limits=Limits(files=1))
    whole, _ = runner.run(two(), Counting())
    first, _ = runner.run(
        {"both": two()["both"].model_copy(update={"files": (str(sample.events("zmumu")),)})}, Counting()
    )
    assert outputs["both"]["events"] == first["both"]["events"] < whole["both"]["events"]
    (skipped,) = details["datasets"]["both"]["ledger"]["skipped"]
    assert (skipped["path"], skipped["reason"], skipped["events"]) == ("1 files", "--limit-files 1", None)


def test_the_first_chunks_of_each_dataset_and_the_rest_with_resume(tmp_path):
    whole, _ = runner.run(two(), Counting())
    with directory.open_directory(tmp_path / "run") as place:
        outputs, details = runner.run(two(), Counting(), chunksize=10, limits=Limits(chunks=2), directory=place)
    assert outputs["both"]["events"] == 20
    (skipped,) = details["datasets"]["both"]["ledger"]["skipped"]
    assert skipped["events"] == whole["both"]["events"] - 20
    assert skipped["reason"] == "--limit-chunks 2"
    with directory.open_directory(tmp_path / "run", True) as place:
        outputs, details = runner.run(two(), Counting(), chunksize=10, directory=place)
    assert outputs["both"]["events"] == whole["both"]["events"]
    assert details["chunks"]["resumed"] == 2
    assert not details["datasets"]["both"]["ledger"]["skipped"]


def test_a_trial_has_no_luminosity_unless_it_stands_for_the_whole(tmp_path):
    _, details = runner.run(two(), Counting(), chunksize=10, limits=Limits(chunks=2))
    from ptmiss import normalisation

    about = details["datasets"]["both"]
    with pytest.raises(LedgerError, match="--limit-chunks 2"):
        normalisation.factor("both", about, 1.0)
    assert normalisation.factor("both", about, 1.0, rescale=True) > 0


def test_less_than_one_is_none():
    for limits in (Limits(files=0), Limits(chunks=-1)):
        with pytest.raises(OptionError, match="expected at least 1"):
            runner.run(two(), Counting(), limits=limits)


def test_from_the_command_line(tmp_path):
    files = [sample.events("zmumu"), sample.events("wmunu")]
    table = tmp_path / "recoil.parquet"
    printed = call("skim", *files, "--estimators", "stored.MET", "--limit-files", "1", "--output", table)
    assert "--limit-files 1" in printed
    told = failure(
        "skim", *files, "--limit-chunks", "1", "--friend", tmp_path / "f", "--output", tmp_path / "o.parquet"
    )
    assert "--limit-chunks does not" in told
