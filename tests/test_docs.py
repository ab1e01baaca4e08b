"""Every code block of the tutorial and of the how-to pages does what the page says."""

import re
from importlib.util import find_spec
from pathlib import Path

import pytest
import yaml

from .pages import Block, Session, blocks

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = [DOCS / "tutorial.md", *sorted((DOCS / "howto").glob("*.md"))]
NEEDS = {"model": "torch", "table": "polars"}
MOST_LEFT_OUT = 8


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_blocks_of_a_page_run(page, tmp_path, monkeypatch):
    pytest.importorskip(NEEDS.get(page.stem, "ptmiss"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    session = Session(page, tmp_path)
    for block in blocks(page.read_text()):
        session.run(block)


def test_a_session_tells_what_is_wrong(tmp_path):
    session = Session(Path("page.md"), tmp_path)
    session.run(Block("python", "x = 1\nprint(x)\n", None, 1))
    session.run(Block("text", "1\n", None, 2))
    with pytest.raises(AssertionError, match=r"page\.md:3: it prints\n1"):
        session.run(Block("text", "2\n", None, 3))
    with pytest.raises(AssertionError, match=r"page\.md:4: "):
        session.run(Block("sh", "echo broken >&2; false\n", None, 4))
    with pytest.raises(AssertionError, match="needs a title"):
        session.run(Block("json", "{}\n", None, 5))


def test_few_blocks_are_left_out():
    left_out = [line for page in PAGES for line in re.findall(r"<!-- not run: .+ -->", page.read_text())]
    assert len(left_out) <= MOST_LEFT_OUT, left_out


def test_a_correction_is_applied_without_this_package():
    alone = [b for b in blocks((DOCS / "howto" / "corrections.md").read_text()) if b.file and b.file.endswith(".py")]
    assert alone
    assert not any("ptmiss" in block.code for block in alone)


def test_every_page_is_in_the_navigation():
    text = (ROOT / "mkdocs.yml").read_text()
    assert yaml.safe_load(text)["docs_dir"] == "docs"
    for page in DOCS.rglob("*.md"):
        assert f" {page.relative_to(DOCS)}\n" in text, page


def test_pages_fetch_nothing():
    for page in [*DOCS.rglob("*.md"), *DOCS.glob("*.css"), ROOT / "README.md"]:
        assert not re.search(r"!\[[^]]*\]\(https?:|<script|@import|<img[^>]+https?:", page.read_text()), page


@pytest.mark.skipif(find_spec("mkdocs") is None, reason="no mkdocs: the extra docs")
def test_the_command_line_of_the_reference_is_complete():
    import importlib.util

    spec = importlib.util.spec_from_file_location("hooks", DOCS / "hooks.py")
    hooks = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(hooks)
    page = hooks.command_line()
    for verb in ("run", "skim", "calibrate", "train deepmet", "models show", "evaluate mlpf"):
        assert f"## ptmiss {verb}\n" in page
    assert max(map(len, page.splitlines())) <= 90
    hooks.on_post_build()
