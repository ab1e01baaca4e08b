import io
import subprocess
import sys
import warnings
import zipfile

import numpy as np
import pandas as pd
import pytest
import yaml

from ptmiss.reports import hepdata, html
from ptmiss.reports.exhibit import Exhibit, Section

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # of jsonschema, that it still uses RefResolver
    from hepdata_validator.data_file_validator import DataFileValidator
    from hepdata_validator.full_submission_validator import FullSubmissionValidator
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


def test_an_estimator_is_a_qualifier_and_its_numbers_share_the_bins():
    found = yaml.safe_load(hepdata.data(TABLE, "CMS-like simulation (13 TeV)"))
    (bins,) = found["independent_variables"]
    assert bins == {"header": {"name": "qT", "units": "GeV"}, "values": [{"low": 0, "high": 10}, {"value": ">= 10"}]}
    rms, response, rms_puppi, _ = found["dependent_variables"]
    assert rms["header"] == {"name": "RMS of u∥ - qT", "units": "GeV"}
    assert response["header"] == {"name": "Response"}
    about = [{q["name"]: q["value"] for q in variable["qualifiers"]} for variable in (rms, rms_puppi)]
    assert about == [{"Estimator": name, "Axis": "qt", "SQRT(S)": 13} for name in ("PF", "PUPPI")]
    assert rms["values"] == [{"value": 20.5, "errors": [{"symerror": 0.5, "label": "stat"}]}, {"value": 21.25}]
    assert rms_puppi["values"] == [{"value": "-"}, {"value": "-"}]


def test_rows_that_nothing_tells_apart_stay_rows():
    found = yaml.safe_load(hepdata.data(TABLE.assign(low=0.0, high=10.0)))
    bins, *words = found["independent_variables"]
    assert len(bins["values"]) == 3
    assert [w["header"]["name"] for w in words] == ["Estimator", "Axis"]
    assert all("qualifiers" not in variable for variable in found["dependent_variables"])


def test_systematics_are_errors_of_their_own():
    found = yaml.safe_load(hepdata.data(TABLE.assign(rms_par_systematic=[0.25, 0.75, 0.0])))
    rms = found["dependent_variables"][0]
    stat, sys = {"symerror": 0.5, "label": "stat"}, {"symerror": 0.25, "label": "sys"}
    assert rms["values"][0] == {"value": 20.5, "errors": [stat, sys]}
    assert rms["values"][1] == {"value": 21.25, "errors": [{"symerror": 0.75, "label": "sys"}]}


def test_a_table_of_numbers_alone():
    found = yaml.safe_load(hepdata.data(pd.DataFrame({"weight": [1.0, 2.0]})))
    assert found["independent_variables"] == [{"header": {"name": "row"}, "values": [{"value": 0}, {"value": 1}]}]


def test_the_submission_names_all_tables():
    named = hepdata.describe(["Z → μμ: response", "w" * 100])
    first, *tables = yaml.safe_load_all(hepdata.submission(named, "CMS-like simulation (13.6 TeV)"))
    assert set(first) == {"comment"}
    assert [(t["name"], t["data_file"]) for t in tables] == [
        ("Table 1", "table_01_z_to_mumu_response.yaml"),
        ("Table 2", f"table_02_{'w' * 60}.yaml"),
    ]
    assert tables[1]["description"] == "w" * 100
    keywords = {keyword["name"]: keyword["values"] for keyword in tables[0]["keywords"]}
    assert keywords["cmenergies"] == [13600]
    assert "hadronic recoil" in keywords["phrases"]


def test_what_hepdata_refuses_is_left_out():
    assert hepdata.value(3.0, 0.0) == {"value": 3.0}
    assert hepdata.energy("without a number") == []


def complaints(validator, text, path):
    """What HEPData's own validator finds."""
    path.write_text(text)
    validator.validate(file_path=str(path))
    return [message.message for found in validator.get_messages().values() for message in found]


@pytest.mark.parametrize("table", [TABLE, pd.DataFrame({"weight": [1.0, np.inf]}), TABLE.drop(columns="axis").head(0)])
def test_hepdata_itself_takes_the_tables(table, tmp_path):
    assert complaints(DataFileValidator(), hepdata.data(table), tmp_path / "data.yaml") == []


def test_hepdata_itself_takes_the_submission(tmp_path):
    text = hepdata.submission(hepdata.describe(["Z → μμ: response", "w" * 100]), "(13 TeV)")
    assert complaints(SubmissionFileValidator(), text, tmp_path / "submission.yaml") == []


READER = """
import sys, yaml
from matplotlib import pyplot
table = yaml.safe_load(open(sys.argv[1]))
bins, first = table["independent_variables"][0], table["dependent_variables"][0]
x = [(bin["low"] + bin["high"]) / 2 for bin in bins["values"]]
y, errors = zip(*((one["value"], one["errors"][0]["symerror"]) for one in first["values"]))
pyplot.errorbar(x, y, errors, fmt="o", label=first["qualifiers"][0]["value"])
pyplot.xlabel("{name} [{units}]".format(**bins["header"]))
pyplot.ylabel("{name} [{units}]".format(**first["header"]))
pyplot.legend(); pyplot.savefig(sys.argv[2]); print(x, *y, *errors, *first["qualifiers"][0].values())
"""


@pytest.mark.filterwarnings("ignore:Exception ignored in. <_io.FileIO:pytest.PytestUnraisableExceptionWarning")
def test_a_reader_that_is_not_ours_draws_a_table_of_a_submission(tmp_path):
    """HEPData's validator of a whole submission, which leaves a file open; then plain YAML and matplotlib alone."""
    whole = TABLE.assign(high=[10.0, 20.0, 10.0], rms_par_error=[0.5, 0.75, 1.0])
    content = html.submission([Section("Z → μμ", "run", [Exhibit("Widths", whole)])], "(13 TeV)")
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        archive.extractall(tmp_path)
    validator = FullSubmissionValidator()
    assert validator.validate(directory=str(tmp_path)), validator.get_messages()
    (table,) = tmp_path.glob("table_01*.yaml")
    command = [sys.executable, "-c", READER, str(table), str(tmp_path / "drawn.png")]
    done = subprocess.run(command, env={"MPLBACKEND": "agg"}, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["[5.0,", "15.0]", "20.5", "21.25", "0.5", "0.75", "Estimator", "PF"]
    assert (tmp_path / "drawn.png").read_bytes().startswith(b"\x89PNG")


def test_what_is_wrong_is_refused(tmp_path):
    assert complaints(DataFileValidator(), "independent_variables: 3\n", tmp_path / "data.yaml")
