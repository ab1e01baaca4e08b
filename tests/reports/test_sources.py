import pytest

from ptmiss import sample
from ptmiss.errors import FileError, OptionError
from ptmiss.reports import sources


def test_what_paths_are(tmp_path):
    for name, mark in (
        ("run", "histograms.zip"),
        ("cal", "corrections.json.gz"),
        ("ev", "jets.csv"),
        ("net", "README.md"),
    ):
        (tmp_path / name).mkdir()
        (tmp_path / name / mark).write_text("")
    table = sample.recoil("zmumu")
    found = sources.read(
        [str(table), *(str(tmp_path / n) for n in ("run", "cal", "ev", "net")), "deepmet", f"b={table}"]
    )
    assert [(one.kind, one.name) for one in found] == [
        ("recoil table", "zmumu"),
        ("run", "run"),
        ("calibration", "cal"),
        ("evaluation", "ev"),
        ("model", "net"),
        ("model", "deepmet"),
        ("recoil table", "b"),
    ]


def test_what_is_wrong_is_said(tmp_path):
    with pytest.raises(FileError, match=r"no such file or directory: .*nowhere"):
        sources.read([str(tmp_path / "nowhere")])
    with pytest.raises(
        FileError,
        match=r"is none of: a recoil table \(a .parquet file, or a folder of such\), a run \(histograms.zip in it\)",
    ):
        sources.read([str(tmp_path)])
    with pytest.raises(OptionError, match="two sources are called 'a': name them as NAME=PATH"):
        sources.read([f"a={sample.recoil('zmumu')}", f"a={sample.recoil('wmunu')}"])
    with pytest.raises(OptionError, match="expected at least one recoil table, run, calibration"):
        sources.read([])
