import numpy as np
import pandas as pd
import yaml

from ptmiss.page import hepdata

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


def test_a_table_of_numbers_alone():
    found = yaml.safe_load(hepdata.data(pd.DataFrame({"weight": [1.0, 2.0]})))
    assert found["independent_variables"] == [{"header": {"name": "row"}, "values": [{"value": 0}, {"value": 1}]}]


def test_the_submission_names_all_tables():
    first, *tables = yaml.safe_load_all(hepdata.submission({"s0-0": "Z: response", "s0-1": "Z: widths"}))
    assert set(first) == {"comment"}
    assert [(t["name"], t["data_file"]) for t in tables] == [("Z: response", "s0-0.yaml"), ("Z: widths", "s0-1.yaml")]
