import json

import numpy as np
import pytest

from ptmiss.selections import filters


@pytest.mark.parametrize(
    ("era", "year"),
    [
        ("2018A", "2018"),
        ("2022EE", "2022"),
        ("2023BPix", "2023"),
        ("UL16postVFP", "2016"),
        ("Run3Summer22EE", "2022"),
        ("2016preVFP", "2016"),
        ("RunIISummer20UL18NanoAODv9", "2018"),
        ("2012", "unknown"),
        ("B", "unknown"),
        (None, "unknown"),
    ],
)
def test_the_year_of_an_era(era, year):
    assert filters.year(era) == year


@pytest.mark.parametrize(
    ("era", "period"),
    [
        ("2018A", "2018"),
        ("2016F", "2016"),
        ("2016H", "2016postVFP"),
        ("UL2016APV", "2016preVFP"),
        ("2016_PreVFP", "2016preVFP"),
        ("2022C", "2022"),
        ("2022E", "2022EE"),
        ("2022_Summer22EE", "2022EE"),
        ("2022preEE", "2022"),
        ("2022_postEE", "2022EE"),
        ("Run2022G-22Sep2023", "2022EE"),
        ("2022Re-recoBCD", "2022"),
        ("Run3Summer23BPix", "2023BPix"),
        ("2023preBPix", "2023"),
        ("2023D", "2023BPix"),
        ("2024", "2024"),
        (None, "unknown"),
    ],
)
def test_the_period_of_an_era(era, period):
    assert filters.period(era) == period


def test_the_year_of_a_run():
    """First and last certified run of each year; 278975 and 315267 are those of real files."""
    runs = [1, 200000, 271036, 278975, 284044, 294927, 306462, 314472, 315267, 325175, 355100, 362760, 366442, 370790]
    expected = ["unknown"] * 2 + ["2016"] * 3 + ["2017"] * 2 + ["2018"] * 3 + ["2022"] * 2 + ["2023"] * 2
    assert filters.years(np.array(runs)).tolist() == expected
    assert filters.years(np.array([378981, 386951, 391658, 398903])).tolist() == ["2024"] * 2 + ["2025"] * 2


def test_the_runs_of_a_year_are_those_of_its_golden_json(shared):
    for path in (shared / "analysis" / "cert").glob("Cert*"):
        runs = np.array([int(run) for run in json.loads(path.read_text())])
        [year] = set(filters.years(runs).tolist())
        assert year in path.name or f"Collisions{year[2:]}" in path.name


def test_what_a_year_asks():
    hcal = {"HBHENoiseFilter", "HBHENoiseIsoFilter"}
    run3 = {
        "goodVertices",
        "globalSuperTightHalo2016Filter",
        "EcalDeadCellTriggerPrimitiveFilter",
        "BadPFMuonFilter",
        "BadPFMuonDzFilter",
        "hfNoisyHitsFilter",
        "eeBadScFilter",
        "ecalBadCalibFilter",
    }
    for year in ("2022", "2023", "2024", "2025"):
        assert set(filters.of_year(year)) == run3
    assert set(filters.of_year("2017")) == set(filters.of_year("2018")) == run3 | hcal
    assert set(filters.of_year("2016")) == (run3 | hcal) - {"ecalBadCalibFilter"}
    assert set(filters.of_year("unknown")) == run3 - {"ecalBadCalibFilter"}
    assert "CSCTightHalo2015Filter" in filters.of_year("2015")


def test_the_years_of_a_filter():
    assert filters.years_with("ecalBadCalibFilter") == ["2017", "2018", "2022", "2023", "2024", "2025"]
    assert "unknown" in filters.years_with("goodVertices")
