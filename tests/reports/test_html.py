"""The page: what is in it, that nothing in it comes from elsewhere, and that a browser runs it."""

import base64
import csv
import io
import json
import os
import re
import shutil
import subprocess
import zipfile
from dataclasses import replace
from functools import partial
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
import yaml
from click.testing import CliRunner
from matplotlib.figure import Figure

from ptmiss import reports, sample, table
from ptmiss.cli import cli
from ptmiss.errors import OptionError
from ptmiss.reports import html, sections, svg, words
from ptmiss.reports.exhibit import Exhibit, Section
from ptmiss.reports.sources import ReportSource

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="no chromium here")
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


def unquoted(text):
    """Text with its quotation marks, which need no escape between tags."""
    return text.replace("&#39;", "'")


def test_nothing_is_taken_from_elsewhere_or_believed(parts):
    text = html.render(HOSTILE, parts)
    tags = Parts(text).found
    assert [tag for tag, _ in tags].count("script") == 1
    for _, attributes in tags:
        for name in ("src", "href", "xlink:href", "action"):
            assert attributes.get(name, "#").startswith(("#", "data:"))
    assert "alert" not in unquoted(text).replace("&lt;script&gt;alert('x')&lt;/script&gt;", "").replace(
        'role="alert"', ""
    )
    ids = [a["id"] for _, a in tags if "id" in a]
    assert len(set(ids)) == len(ids)


def test_all_tables_can_be_taken_away(parts):
    tags = Parts(html.render("A page", parts)).found
    (taken,) = [a["href"] for t, a in tags if a.get("download") == "submission.zip"]
    with zipfile.ZipFile(io.BytesIO(base64.b64decode(taken.split(",")[1]))) as archive:
        content = {name: archive.read(name).decode() for name in archive.namelist()}
    first, second = (f"table_{n}_script_alert_x_script_{title}" for n, title in (("01", "widths"), ("02", "more")))
    assert set(content) == {
        "submission.yaml",
        *(f"{name}.{end}" for name in (first, second) for end in ("csv", "yaml")),
    }
    assert content[f"{first}.csv"].splitlines()[1] == "pf,20,0.5"
    assert yaml.safe_load(content[f"{first}.yaml"])["dependent_variables"][0]["values"][0]["value"] == 20
    named = [t["data_file"] for t in list(yaml.safe_load_all(content["submission.yaml"]))[1:]]
    assert named == [f"{first}.yaml", f"{second}.yaml"]
    assert taken == next(a["href"] for _, a in Parts(html.render("A page", parts)).found if "download" in a)


def test_cells_have_as_many_digits_as_their_errors():
    row = {
        "a": 1234.5678,
        "a_error": 12.3,
        "b": 0.012345,
        "b_error": 0.00012,
        "c": 3,
        "d": "x",
        "e": np.nan,
        "f": np.inf,
    }
    assert [html.cell(row, name) for name in "abcdef"] == ["1235 ± 12", "0.01235 ± 0.00012", "3", "x", "", "∞"]


def test_a_figure_is_read_aloud_with_its_caption():
    exhibit = html.exhibit(
        Exhibit("Widths", pd.DataFrame({"a": [1]}), drawn(), "Smaller is sharper."), "f", svg.Sheet()
    )
    assert '<title id="f-title">Widths. Smaller is sharper.</title>' in exhibit["svg"]


def test_columns_that_say_nothing_are_in_the_title_alone():
    rows = {"estimator": ["pf", "pf"], "region": "inclusive", "axis": ["qt", "qt"], "low": [0.0, 5.0]}
    rows |= {"rms_par": [1.0, 2.0], "rms_par_error": [0.1, 0.1], "rms_par_common": [0.0, np.nan]}
    heads = lambda table: [column["head"] for column in html.columns(table)]
    table = pd.DataFrame(rows)
    assert heads(table) == ["Estimator", "qT from, GeV", "RMS of u∥ - qT, GeV"]
    assert heads(table.assign(axis=["qt", "npv"], rms_par_common=[0.0, 0.1])) == [
        "Estimator",
        "Region",
        "Axis",
        "From",
        "RMS of u∥ - qT, GeV",
        words.head("rms_par_common"),
    ]


def browsed(path, script, *options):
    """The page's elements and what its console says, after a script has run in a browser."""
    path.write_text(path.read_text().replace("</body>", f"<script>{script}</script></body>"))
    fixed = ["--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", "--virtual-time-budget=5000"]
    done = subprocess.run(
        [CHROMIUM, *fixed, *options, f"--user-data-dir={path.parent / 'u'}", "--dump-dom", path.as_uri()],
        check=False,
        capture_output=True,
        text=True,
        timeout=600,
        env={**os.environ, "HOME": str(path.parent)},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout, [line for line in done.stderr.splitlines() if "CONSOLE" in line]


@needs_chromium
def test_in_a_browser(parts, tmp_path):
    """It opens without a complaint, its figure is there, and a click sorts by value, empty cells last."""
    path = tmp_path / "page.html"
    path.write_text(html.render("A page", parts))
    dumped, complaints = browsed(path, "document.querySelectorAll('th.number button')[0].click()")
    assert not complaints
    tags = Parts(dumped).found
    assert [a.get("aria-sort") for t, a in tags if t == "th"][:2] == ["none", "ascending"]
    cells = re.findall(r"<td>([^<]*)", dumped)
    assert [cell.strip() for cell in cells[:4]] == ["3.00 ± 0.25", "20.00 ± 0.50", "100 ± 10", ""]
    assert sum(t == "svg" and a.get("role") == "img" for t, a in tags) == 1


@needs_chromium
def test_what_the_browser_makes(parts, tmp_path):
    """A table as CSV with its errors, and a drawing that is whole without the page."""
    path = tmp_path / "page.html"
    path.write_text(html.render("A page", parts))
    script = """(async () => {
        const figure = document.querySelector("figure"), made = document.createElement("pre");
        const drawn = await alone(figure.querySelector(".drawing svg")).text();
        const picture = await png(figure.querySelector(".drawing svg"));
        made.id = "made";
        made.textContent = [csv(figure.querySelector("table")), drawn, picture.type].join("\\f");
        document.body.append(made);
    })()"""
    dumped, complaints = browsed(path, script)
    assert not complaints
    table, drawing, kind = unescape(dumped.split('<pre id="made">')[1].split("</pre>")[0]).split("\f")
    rows = list(csv.reader(table.splitlines()))
    assert rows[:2] == [["Estimator", "RMS, GeV", "RMS, GeV, error"], ["PF", "20.00", "0.50"]]
    assert rows[3:] == [[HOSTILE, "100", "10"], ["DeepMET", "", ""]]
    root = ElementTree.fromstring(drawing)
    ids = {one.get("id") for one in root.iter()}
    linked = {one.get("href")[1:] for one in root.iter() if one.get("href")}
    assert linked
    assert linked <= ids
    assert kind == "image/png"


@pytest.mark.slow
@needs_chromium
@pytest.mark.parametrize("width", [390, 768, 1280])
def test_no_page_is_wider_than_its_window(parts, tmp_path, width):
    """In a window of this width, all open: tables scroll inside of the page."""
    tell = (
        "unfold(); const { scrollWidth } = document.documentElement; parent.postMessage([scrollWidth, innerWidth], '*')"
    )
    text = html.render("A page", [*parts, *parts, *parts]).replace("</body>", f"<script>{tell}</script></body>")
    (tmp_path / "inner.html").write_text(text)
    page = tmp_path / "page.html"
    page.write_text(
        f"<html><body><iframe width={width} height=800 frameborder=0 src=inner.html></iframe></body></html>"
    )
    dumped, _ = browsed(page, "onmessage = ({ data }) => { document.title = `got ${data}` }", "--window-size=1400,900")
    needed, there = map(int, re.search(r"got (\d+),(\d+)", dumped).groups())
    assert needed <= there <= width


AXE = """axe.run({ resultTypes: ["violations"] }).then(({ violations }) => {
    const told = violations.map(({ id, nodes }) => `${id}: ${nodes[0].html}`);
    document.title = JSON.stringify({ told, back: getComputedStyle(document.body).backgroundColor });
})"""
DARK = "--blink-settings=preferredColorScheme=0"


@pytest.mark.slow
@needs_chromium
@pytest.mark.parametrize(("options", "back"), [((), "rgb(255, 255, 255)"), ((DARK,), "rgb(21, 24, 28)")])
def test_axe_finds_nothing_in_the_light_and_in_the_dark(parts, tmp_path, options, back):
    """All sections open, with a summary, warnings, a figure, tables and a card."""
    axe = pytest.importorskip("axe_core_python", reason="the extra dev")
    engine = (Path(axe.__file__).parent / "axe.min.js").read_text().replace("</script", "<\\/script")
    summed = replace(parts[0], about="2 events of simulation", headline=pd.DataFrame({"rms_par": [2.0]}, ["pf"]))
    page = tmp_path / "page.html"
    page.write_text(html.render("A page", [summed, parts[1]]))
    dumped, complaints = browsed(page, f"unfold();</script><script>{engine}</script><script>{AXE}", *options)
    assert not complaints
    seen = json.loads(unescape(re.search(r"<title>([^<]*)</title>\s*<link", dumped)[1]))
    assert seen == {"told": [], "back": back}


@pytest.mark.slow
@needs_chromium
def test_paper_has_all_sections_open(parts, tmp_path):
    page, paper = tmp_path / "page.html", tmp_path / "page.pdf"
    page.write_text(html.render("A page", [*parts, *parts]))
    script = "dispatchEvent(new Event('beforeprint')); document.title = sections.every((one) => one.open)"
    dumped, _ = browsed(page, script)
    assert "<title>true</title>" in dumped
    browsed(page, "", f"--print-to-pdf={paper}")
    assert paper.read_bytes()[:5] == b"%PDF-"


@pytest.mark.slow
@needs_chromium
def test_sections_are_folded_but_the_first(parts, tmp_path):
    """A link into a section opens it, and a button opens all."""
    page = tmp_path / "page.html"
    page.write_text(html.render("A page", [*parts, *parts]))
    state = "sections.map((one) => one.open)"
    script = f"const at = [{state}]; location.hash = '#s1'; arrive(); at.push({state});"
    script += f"document.querySelector('#unfold').click(); at.push({state}); document.title = JSON.stringify(at);"
    dumped, complaints = browsed(page, script)
    assert not complaints
    seen = json.loads(unescape(re.search(r"<title>([^<]*)", dumped)[1]))
    assert seen == [[True, False, False, False], [True, True, False, False], [True] * 4]


@pytest.mark.slow
def test_of_a_recoil_table(monkeypatch):
    monkeypatch.setattr(sections.plots, "panels", lambda *args: None)
    monkeypatch.setattr(sections.jacobian, "of_table", partial(sections.jacobian.of_table, replicas=5))
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
