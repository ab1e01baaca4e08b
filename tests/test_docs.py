"""Every code block of every page does what the page says, or the page says why it is left out."""

import json
import re
import runpy
import shutil
from pathlib import Path

import pytest

from ptmiss import sample

from .pages import Block, Session, blocks, commands_of

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
LESSONS = [DOCS / "tutorial.md", *sorted((DOCS / "howto").glob("*.md"))]
ALL = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    *sorted(page for page in DOCS.rglob("*.md") if "generated" not in page.parts),
]
PAGES = [page for page in ALL if any(blocks(page.read_text()))]
NEEDS = {"analysis": "pyhf", "explain": "torch", "fits": "pyhf", "model": "torch", "table": "polars", "tune": "optuna"}
READERS = {
    "README": {"nano_1": "zmumu", "dy": "zmumu"},
    "vertex": {"wmunu": "wmunu"},
    "selections": {"w": "wmunu"},
    "significance": {"nano_1": "zmumu", "w": "wmunu"},
}  # files that a reader has
MOST_LEFT_OUT = 14


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_blocks_of_a_page_run(page, tmp_path, monkeypatch, empty_pictures):
    pytest.importorskip(NEEDS.get(page.stem, "ptmiss"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    for name, process in READERS.get(page.stem, {}).items():
        shutil.copy(sample.events(process), f"{name}.root")
        Path(f"{name}.json").write_text(json.dumps({name: [f"{name}.root"]}))
    session = Session(page, tmp_path)
    for block in blocks(page.read_text()):
        session.run(block)


def test_tables_of_the_page_about_scale_are_those_that_were_measured():
    text = (DOCS / "scale.md").read_text()
    assert runpy.run_path(str(DOCS / "scale.py"))["page"](text) == text


def test_a_session_tells_what_is_wrong(tmp_path):
    session = Session(Path("page.md"), tmp_path)
    session.run(Block("python", "x = 1\nprint(x)\n", None, 1))
    session.run(Block("text", "1\n", None, 2))
    with pytest.raises(AssertionError, match=r"page\.md:3: it prints\n1"):
        session.run(Block("text", "2\n", None, 3))
    with pytest.raises(AssertionError, match=r"page\.md:4: "):
        session.run(Block("sh", "echo broken >&2; false\n", None, 4))
    with pytest.raises(AssertionError, match="needs a caption"):
        session.run(Block("json", "{}\n", None, 5))


def test_commands_of_ptmiss_alone_need_no_shell():
    assert commands_of("# a comment\nptmiss skim 'a_*.root' \\\n    --output b  # more\n\nptmiss status c\n") == [
        ["skim", "a_*.root", "--output", "b"],
        ["status", "c"],
    ]
    for code in ("ptmiss models show a > b\n", "ptmiss status a\nls b\n", "ptmiss status $A\n", "true\n"):
        assert commands_of(code) == []


def test_few_blocks_of_the_lessons_are_left_out():
    left_out = [line for page in LESSONS for line in re.findall(r"<!-- not run: .+ -->", page.read_text())]
    assert len(left_out) <= MOST_LEFT_OUT, left_out


def test_a_correction_is_applied_without_this_package():
    alone = [b for b in blocks((DOCS / "howto" / "corrections.md").read_text()) if b.file and b.file.endswith(".py")]
    assert alone
    assert not any("ptmiss" in block.code for block in alone)


def test_a_block_with_a_caption_is_a_file():
    shown = "```{code-block} toml\n:caption: a.toml\n\nx = 1\n```\n\n```sh\nls\n```\n```{include} b.md\n```\n"
    assert list(blocks(shown)) == [Block("toml", "x = 1\n", "a.toml", 4), Block("sh", "ls\n", None, 8)]


def test_what_stands_between_two_blocks_that_are_left_out_is_run():
    left_out = "<!-- not run: why -->\n```sh\nfalse\n```\n"
    assert [block.code for block in blocks(f"{left_out}\n```sh\ntrue\n```\n\n{left_out}")] == ["true\n"]


def test_pages_fetch_nothing():
    for page in [*DOCS.rglob("*.md"), *DOCS.glob("*.css"), ROOT / "README.md"]:
        assert not re.search(r"!\[[^]]*\]\(https?:|<script|@import|<img[^>]+https?:", page.read_text()), page


def test_docstrings_may_be_plain_or_in_the_style_of_google():
    pytest.importorskip("sphinx", reason="the extra docs")
    restructure = runpy.run_path(str(DOCS / "docstrings.py"))["restructure"]
    plain = restructure("One: line.\n\npt, phi: GeV and rad; n: how\nmany.\nmass: GeV.")
    assert plain.split("\n") == [
        "One: line.",
        "",
        "* ``pt, phi``: GeV and rad; ``n``: how",
        "  many.",
        "* ``mass``: GeV.",
    ]
    google = restructure("One line.\n\nArgs:\n    pt: GeV.\n\nRaises:\n    ValueError: if it is negative.\n")
    assert ":param pt: GeV." in google
    assert ":raises ValueError: if it is negative." in google


def test_the_command_line_of_the_reference_is_complete():
    page = runpy.run_path(str(DOCS / "generate.py"))["command_line"]()
    for verb in ("run", "skim", "calibrate", "train deepmet", "models show", "evaluate mlpf"):
        assert f"## ptmiss {verb}\n" in page
    assert max(map(len, page.splitlines())) <= 90
