import re

import pytest
from matplotlib.figure import Figure

from ptmiss.errors import FileError
from ptmiss.reports import svg

HOSTILE = """<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" width="9pt" onload="alert(1)">
<script>alert(2)</script><style>@import url(https://evil.example/x.css);</style>
<foreignObject><iframe src="https://evil.example"/></foreignObject>
<defs><path id="a" d="M 0 0"/><clipPath id="b"><rect/></clipPath></defs>
<g clip-path="url(#b)" onclick="alert(3)"><use xlink:href="#a"/><use xlink:href="https://evil.example/#a"/></g></svg>"""


def test_only_shapes_are_kept():
    text = svg.inline(svg.Drawing(HOSTILE), "f1", "A figure <of> things")
    for word in ("script", "alert", "evil", "foreignObject", "iframe", "onload", "onclick", "width"):
        assert word not in text
    assert 'id="f1-0"' in text
    assert '<use href="#f1-0"' in text
    assert 'id="f1-1"' in text
    assert "url(#f1-1)" in text
    assert "A figure &lt;of&gt; things</title>" in text
    assert 'role="img"' in text


def test_a_figure_of_ours():
    figure = Figure()
    figure.subplots().plot([1, 2], [3, 4])
    text = svg.inline(figure, "one", "title")
    assert text == svg.inline(figure, "one", "title")
    assert text.count("<path") > 2
    ids = [part.split('"')[0] for part in text.split(' id="')[1:]]
    assert all(name.startswith("one-") for name in ids)
    assert len(set(ids)) == len(ids)


def test_what_is_left_out_is_not_seen():
    figure = Figure(figsize=(4, 4))
    figure.subplots().plot([1, 2], [3, 4], "o")
    drawn, short = svg.text_of(figure), svg.inline(figure, "one", "title")
    assert len(short) < 0.7 * len(drawn)
    numbers = [[float(n) for n in re.findall(r"translate\((\S+) (\S+)\)", text)[0]] for text in (drawn, short)]
    assert numbers[0] == pytest.approx(numbers[1], abs=0.005)
    ids = set(re.findall(r' id="([^"]+)"', short)) - {"one-title"}
    assert ids == set(re.findall(r'href="#([^"]+)"', short)) | set(re.findall(r"url\(#([^)]+)\)", short))


def test_what_is_wide():
    assert svg.is_wide(svg.inline(Figure(figsize=(8, 4)), "a", ""))
    assert not svg.is_wide(svg.inline(Figure(figsize=(4, 4)), "a", ""))


def test_a_drawing_that_is_no_svg():
    with pytest.raises(FileError, match="the drawing f1 is no SVG: "):
        svg.inline(svg.Drawing("<svg"), "f1", "")
