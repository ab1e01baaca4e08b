import warnings

import numpy as np
import pandas as pd
import pytest
import yaml

from ptmiss.reports import hepdata

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # of jsonschema, that it still uses RefResolver
    from hepdata_validator.data_file_validator import DataFileValidator
    from hepdata_validator.submission_file_validator import SubmissionFileValidator

TABLE = pd.DataFrame(
    {
        "estimator": ["pf", "pf", "puppi"],
        "axis": "qt",
        "low": [0.0, 10.0, 0.0],
        "high": [10.0, np.inf, 10.0],
        "rms_par": [20.5, 21.25, np.nan],
        "rms_par_error": [0.5, np.nan, 1.0],
        "response": [0.9, 0.95, 0.8],
    }
)


def test_bins_are_independent_and_numbers_dependent():
    found = yaml.safe_load(hepdata.data(TABLE))
    bins, *words = found["independent_variables"]
    assert bins["header"] == {"name": "qt"}
    assert bins["values"] == [{"low": 0, "high": 10}, {"value": ">= 10"}, {"low": 0, "high": 10}]
    assert [w["header"]["name"] for w in words] == ["estimator", "axis"]
    rms, response = found["dependent_variables"]
    assert rms["header"] == {"name": "rms_par", "units": "GeV"}
    assert rms["values"] == [
        {"value": 20.5, "errors": [{"symerror": 0.5, "label": "stat"}]},
        {"value": 21.25},
        {"value": "-"},
    ]
    assert response["header"] == {"name": "response"}
    assert len({len(v["values"]) for v in (*found["independent_variables"], *found["dependent_variables"])}) == 1


def test_systematics_are_errors_of_their_own():
    found = yaml.safe_load(hepdata.data(TABLE.assign(rms_par_systematic=[0.25, 0.75, 0.0])))
    rms, _ = found["dependent_variables"]
    stat, sys = {"symerror": 0.5, "label": "stat"}, {"symerror": 0.25, "label": "sys"}
    assert rms["values"][0] == {"value": 20.5, "errors": [stat, sys]}
    assert rms["values"][1] == {"value": 21.25, "errors": [{"symerror": 0.75, "label": "sys"}]}


def test_a_table_of_numbers_alone():
    found = yaml.safe_load(hepdata.data(pd.DataFrame({"weight": [1.0, 2.0]})))
    assert found["independent_variables"] == [{"header": {"name": "row"}, "values": [{"value": 0}, {"value": 1}]}]


def test_the_submission_names_all_tables():
    first, *tables = yaml.safe_load_all(hepdata.submission({"s0-0": "Z: response", "s0-1": "Z: widths"}))
    assert set(first) == {"comment"}
    assert [(t["name"], t["data_file"]) for t in tables] == [
        ("s0-0 Z: response", "s0-0.yaml"),
        ("s0-1 Z: widths", "s0-1.yaml"),
    ]


def test_what_hepdata_refuses_is_left_out():
    assert hepdata.value(3.0, 0.0) == {"value": 3.0}
    (_, long) = yaml.safe_load_all(hepdata.submission({"s0-0": "w" * 100}))
    assert len(long["name"]) == 64
    assert long["description"] == "w" * 100


def complaints(validator, text, path):
    """What HEPData's own validator finds."""
    path.write_text(text)
    validator.validate(file_path=str(path))
    return [message.message for found in validator.get_messages().values() for message in found]


@pytest.mark.parametrize("table", [TABLE, pd.DataFrame({"weight": [1.0, np.inf]}), TABLE.drop(columns="axis").head(0)])
def test_hepdata_itself_takes_the_tables(table, tmp_path):
    assert complaints(DataFileValidator(), hepdata.data(table), tmp_path / "data.yaml") == []


def test_hepdata_itself_takes_the_submission(tmp_path):
    text = hepdata.submission({"s0-0": "Z → μμ: response", "s0-1": "w" * 100})
    assert complaints(SubmissionFileValidator(), text, tmp_path / "submission.yaml") == []


def test_what_is_wrong_is_refused(tmp_path):
    assert complaints(DataFileValidator(), "independent_variables: 3\n", tmp_path / "data.yaml")
