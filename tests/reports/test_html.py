"""The page: what is in it, that nothing in it comes from elsewhere, and that a browser runs it."""

import base64
import os
import re
import shutil
import subprocess
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
import yaml
from click.testing import CliRunner
from matplotlib.figure import Figure

from ptmiss import reports, sample, table
from ptmiss.cli import cli
from ptmiss.errors import OptionError
from ptmiss.reports import html, sections
from ptmiss.reports.exhibit import Exhibit, Section
from ptmiss.reports.sources import ReportSource

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
HOSTILE = "<script>alert('x')</script>"


def drawn():
    figure = Figure(figsize=(3, 3))
    figure.subplots().plot([1, 2, 3])
    return figure


@pytest.fixture
def parts():
    rows = pd.DataFrame(
        {
            "estimator": ["pf", "puppi", HOSTILE, "deepmet"],
            "rms": [20.0, 3.0, 100.0, np.nan],
            "rms_error": [0.5, 0.25, 10.0, np.nan],
        }
    )
    first = Section(HOSTILE, "run", [Exhibit("Widths", rows, drawn()), Exhibit("More", rows)], {"command": HOSTILE})
    return [first, Section("card", "model", warnings=[f"skipped {HOSTILE}"], text=HOSTILE)]


class Parts(HTMLParser):
    """Tags and attributes of a page."""

    def __init__(self, text):
        super().__init__()
        self.found = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))


def test_nothing_is_taken_from_elsewhere_or_believed(parts):
    text = html.render(HOSTILE, parts)
    tags = Parts(text).found
    assert [tag for tag, _ in tags].count("script") == 1
    for _, attributes in tags:
        for name in ("src", "href", "xlink:href", "action"):
            assert attributes.get(name, "#").startswith(("#", "data:"))
    assert "alert" not in text.replace("&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;", "").replace(
        'role="alert"', ""
    )
    ids = [a["id"] for _, a in tags if "id" in a]
    assert len(set(ids)) == len(ids)


def test_tables_can_be_taken_away(parts):
    tags = Parts(html.render("A page", parts)).found
    links = {a["download"]: base64.b64decode(a["href"].split(",")[1]).decode() for t, a in tags if "download" in a}
    assert set(links) == {"submission.yaml", "s0-0.csv", "s0-0.yaml", "s0-1.csv", "s0-1.yaml"}
    assert links["s0-0.csv"].splitlines()[1] == "pf,20,0.5"
    assert yaml.safe_load(links["s0-0.yaml"])["dependent_variables"][0]["values"][0]["value"] == 20
    assert [t["data_file"] for t in list(yaml.safe_load_all(links["submission.yaml"]))[1:]] == [
        "s0-0.yaml",
        "s0-1.yaml",
    ]


def test_cells_have_as_many_digits_as_their_errors():
    row = {"a": 1234.5678, "a_error": 12.3, "b": 0.012345, "b_error": 0.00012, "c": 3, "d": "x", "e": float("nan")}
    assert [html.cell(row, name)["text"] for name in "abcde"] == ["1235 ± 12", "0.01235 ± 0.00012", "3", "x", ""]


@pytest.mark.skipif(CHROMIUM is None, reason="no chromium here")
def test_in_a_browser(parts, tmp_path):
    """It opens without a complaint, its figure is there, and a click sorts by value, empty cells last."""
    path = tmp_path / "page.html"
    click = "<script>document.querySelectorAll('th.number button')[0].click()</script></body>"
    path.write_text(html.render("A page", parts).replace("</body>", click))
    options = [
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--enable-logging=stderr",
        f"--user-data-dir={tmp_path / 'u'}",
    ]
    done = subprocess.run(
        [CHROMIUM, *options, "--dump-dom", path.as_uri()],
        check=False,
        capture_output=True,
        text=True,
        timeout=600,
        env={**os.environ, "HOME": str(tmp_path)},
    )
    assert done.returncode == 0, done.stderr
    assert "CONSOLE" not in done.stderr
    tags = Parts(done.stdout).found
    assert [a.get("aria-sort") for t, a in tags if t == "th"][:2] == ["none", "ascending"]
    assert [a["data-key"] for t, a in tags if t == "td"][1:8:2] == ["3.0", "20.0", "100.0", ""]
    assert sum(t == "svg" for t, _ in tags) == 1


def test_of_a_recoil_table(monkeypatch):
    monkeypatch.setattr(sections.plots, "panels", lambda *args: None)
    (section,) = sections.section(ReportSource("recoil table", sample.recoil("wmunu"), "W"), "bin", "")
    titles = [one.title for one in section.exhibits]
    assert {"Response", "Transverse mass", "pTmiss", "RMS of u⊥ against vertices, response corrected in bins"} <= set(
        titles
    )
    (mass,) = (one.table for one in section.exhibits if one.title == "Transverse mass")
    read = table.read(sample.recoil("wmunu"))
    assert mass.groupby("estimator")["events"].sum()["pf"] == pytest.approx(read["weight"].sum(), rel=1e-6)
    assert section.facts["events"] == str(len(read))


def test_the_verb(tmp_path):
    output = tmp_path / "page.html"
    arguments = ["report", "deepmet", "--output", str(output)]
    done = CliRunner().invoke(cli, arguments, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    assert re.search(r"page\.html \(0\.\d MB\)", done.output)
    assert "5149" in output.read_text()
    again = CliRunner().invoke(cli, arguments)
    assert (again.exit_code, again.output) == (1, f"Error: --output {output} is there already (--force replaces it)\n")
    with pytest.raises(OptionError, match=r"page\.txt: a page is a \.html file"):
        reports.report(["deepmet"], tmp_path / "page.txt")
