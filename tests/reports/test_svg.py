import re
from xml.etree import ElementTree

import numpy as np
import pytest
from matplotlib.figure import Figure

from ptmiss.errors import FileError
from ptmiss.reports import svg

HOSTILE = """<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" width="9pt"
onload="alert(1)">
<script>alert(2)</script><style>@import url(https://evil.example/x.css);</style>
<foreignObject><iframe src="https://evil.example"/></foreignObject>
<defs><path id="a" d="M 0 0"/><clipPath id="b"><rect/></clipPath></defs>
<g clip-path="url(#b)" onclick="alert(3)"><use xlink:href="#a"/><use xlink:href="https://evil.example/#a"/></g></svg>"""


def test_only_shapes_are_kept():
    sheet = svg.Sheet()
    text = sheet.inline(svg.Drawing(HOSTILE), "f1", "A figure <of> things")
    for word in ("script", "alert", "evil", "foreignObject", "iframe", "onload", "onclick", "width"):
        assert word not in text + sheet.definitions() + sheet.rules()
    assert sheet.definitions() == '<path id="g0" d="M 0 0"/><clipPath id="g1"><rect/></clipPath>'
    assert '<g clip-path="url(#g1)"><use href="#g0"/><use/></g>' in text
    assert "A figure &lt;of&gt; things</title>" in text
    assert 'role="img"' in text


@pytest.mark.parametrize(
    "style", ["fill:red}</style><script>alert(1)", "background: url(https://evil.example)", "fill: url(//evil.example)"]
)
def test_a_style_says_colours_and_lines_alone(style):
    sheet = svg.Sheet()
    drawing = ElementTree.tostring(
        ElementTree.Element("{http://www.w3.org/2000/svg}svg", {"style": style}), encoding="unicode"
    )
    text = sheet.inline(svg.Drawing(drawing), "f1", "") + sheet.rules()
    for word in ("script", "alert", "evil", "<style", "background"):
        assert word not in text


def test_drawings_share_letters_and_styles():
    """The second of two equal drawings adds neither definitions nor styles, and both are the same but for the name."""
    figure = Figure()
    figure.subplots().plot([1, 2], [3, 4], "o-", label="1")
    sheet = svg.Sheet()
    first = sheet.inline(figure, "one", "title")
    shared = sheet.definitions(), sheet.rules()
    assert sheet.inline(figure, "two", "title") == first.replace("one-title", "two-title")
    assert (sheet.definitions(), sheet.rules()) == shared
    whole = first + shared[0]
    used = set(re.findall(r'href="#([^"]+)"', whole)) | set(re.findall(r"url\(#([^)]+)\)", whole))
    assert used <= set(sheet.defs.values())
    assert all(svg.TICK.match(one) for one, name in sheet.defs.items() if name not in used)
    assert set(re.findall(r'class="([^"]+)"', first)) <= set(re.findall(r"\.(c\d+){", shared[1]))


def test_axes_with_the_same_ticks_are_drawn_once():
    sheet = svg.Sheet()
    for name, values in (("one", [1, 3]), ("two", [3, 1])):
        figure = Figure()
        figure.subplots().plot([1, 2], values)
        text, ticks = sheet.inline(figure, name, "title"), len(sheet.definitions())
        assert text.count("<use") == 2  # the axes
        assert ticks == len(sheet.definitions())
    assert sum(one.startswith("<g") for one in sheet.defs) == 2


def test_ticks_are_one_path_where_they_were():
    """Of each axis a path for long and one for short ticks, in places that the drawing says too."""
    figure = Figure(figsize=(4, 4))
    ax = figure.subplots()
    ax.set(xlim=(0, 4), xticks=[1, 2, 3], ylim=(0, 1), yticks=[], xticklabels=[])
    ax.tick_params(length=5, direction="out")
    sheet = svg.Sheet()
    sheet.inline(figure, "one", "title")
    (drawn,) = [one for one in sheet.defs if one.startswith("<g") and "<path" in one]
    assert "<use" not in drawn
    (course,) = re.findall(r' d="([^"]+)"', drawn)
    numbers = np.array([[float(n) for n in re.findall(r"[\d.]+", line)] for line in course.split("M")[1:]])
    left, right = (ax.get_position().x0 * 288, ax.get_position().x1 * 288)
    assert numbers[:, 0] == pytest.approx(left + (right - left) * np.array([0.25, 0.5, 0.75]), abs=0.01)
    assert numbers[:, 3] - numbers[:, 1] == pytest.approx(5, abs=0.02)


def test_what_is_left_out_is_not_seen():
    figure = Figure(figsize=(4, 4))
    figure.subplots().plot([1, 2], [3, 4], "o")
    sheet = svg.Sheet()
    drawn, short = svg.text_of(figure), sheet.inline(figure, "one", "title") + sheet.definitions()
    assert len(short) < 0.5 * len(drawn)
    numbers = [[float(n) for n in re.findall(r"translate\((\S+) (\S+)\)", text)[0]] for text in (drawn, short)]
    assert numbers[0] == pytest.approx(numbers[1], abs=0.05)


def test_lines_of_one_look_become_one_path():
    """Points with errors: a path for all bars; what is filled, or has nothing to draw, is left as it is."""
    figure = Figure(figsize=(4, 4))
    ax = figure.subplots()
    ax.set_axis_off()
    ax.errorbar([1, 2, 3], [1, np.nan, 3], [0.1, 0.1, 0.2], fmt="none")
    ax.stairs([1, 2], [1, 2, 3], fill=True)
    text = svg.Sheet().inline(figure, "one", "title")
    courses = re.findall(r'<path d="([^"]+)"', text)
    assert sorted(course.count("M") for course in courses) == [1, 1, 2]
    assert "None" not in text


def test_hatches_are_kept():
    figure = Figure()
    figure.subplots().stairs([1, 2], [1, 2, 3], fill=True, hatch="///")
    sheet = svg.Sheet()
    text = sheet.inline(figure, "one", "title")
    (name,) = re.findall(r'style="fill: url\(#(g\d+)\)', text)
    assert f'<pattern id="{name}"' in sheet.definitions()


def test_what_is_wide():
    assert svg.is_wide(svg.Sheet().inline(Figure(figsize=(8, 4)), "a", ""))
    assert not svg.is_wide(svg.Sheet().inline(Figure(figsize=(4, 4)), "a", ""))


def test_a_drawing_that_is_no_svg():
    with pytest.raises(FileError, match="the drawing f1 is no SVG: "):
        svg.Sheet().inline(svg.Drawing("<svg"), "f1", "")
