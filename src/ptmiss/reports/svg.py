"""Figures as SVG inside of a page: nothing but shapes, names of their own, and a title for those who cannot see them."""

from __future__ import annotations

import io
import re
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree

import matplotlib as mpl
from matplotlib.figure import Figure

from ptmiss.errors import FileError
from ptmiss.plots import STYLE

SPACE, LINK = "http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"
SHAPES = {"svg", "g", "path", "use", "defs", "clipPath", "rect", "circle", "text", "tspan", "line", "image"}
"""Elements that are kept; any other (a script, say) is left out with all that is in it."""
WIDE = 1.3  # width over height
LINKS = ("href", f"{{{LINK}}}href")
LOCAL = re.compile(r"url\(#([^)]+)\)")
DRAWN = {"d", "x", "y", "width", "height", "transform"}
DIGITS = re.compile(r"(?<![\d.])[1-9]\d*\.\d{3,}")  # of numbers above 1: those below may be scales


class Drawing(NamedTuple):
    """A figure that was drawn before, as SVG text."""

    text: str


def of_file(path: Path) -> Drawing:
    """The drawing in a file."""
    return Drawing(path.read_text())


def text_of(figure: Figure | Drawing) -> str:
    """A figure as SVG text."""
    if isinstance(figure, Drawing):
        return figure.text
    stream = io.StringIO()
    with mpl.rc_context(STYLE):
        figure.savefig(stream, format="svg", metadata={"Date": None})
    return stream.getvalue()


def inline(figure: Figure | Drawing, name: str, title: str) -> str:
    """``<svg>`` for a page; name: unique in the page, before all ids in the drawing; title: read aloud."""
    try:
        root = ElementTree.fromstring(text_of(figure))
    except ElementTree.ParseError as error:
        raise FileError(f"the drawing {name} is no SVG: {error}") from error
    clean(root)
    rename(root, f"{name}-")
    shorten(root)
    for size in ("width", "height"):
        root.attrib.pop(size, None)
    root.set("role", "img")
    root.set("style", "stroke-linejoin: round; stroke-linecap: butt")  # what matplotlib's style sheet says of all
    root.set("aria-labelledby", f"{name}-title")
    label = ElementTree.Element(f"{{{SPACE}}}title", {"id": f"{name}-title"})
    label.text = title
    root.insert(0, label)
    ElementTree.register_namespace("", SPACE)
    return ElementTree.tostring(root, encoding="unicode")


def is_wide(text: str) -> bool:
    """Whether a drawing is so much wider than high that it wants a row of its own."""
    found = re.search(r'viewBox="\S+ \S+ (\S+) (\S+)"', text)
    return found is not None and float(found[1]) > WIDE * float(found[2])


def clean(element: ElementTree.Element) -> None:
    """Leave out what is no shape, handlers of events, and links to anything outside of the drawing."""
    for child in list(element):
        if str(child.tag).removeprefix(f"{{{SPACE}}}") in SHAPES:
            clean(child)
        else:
            element.remove(child)
    for name, value in list(element.attrib.items()):
        if name.lower().startswith("on") or (name in LINKS and not value.startswith(("#", "data:image/png;base64,"))):
            del element.attrib[name]


def rename(root: ElementTree.Element, prefix: str) -> None:
    """Give all ids that are used names of their own, short ones; leave out the others."""
    used = {name: f"{prefix}{number}" for number, name in enumerate(sorted(references(root)))}
    for element in root.iter():
        for name, value in list(element.attrib.items()):
            if name == "id":
                element.attrib.pop(name)
                if value in used:
                    element.set(name, used[value])
            elif name in LINKS and value.startswith("#"):
                element.attrib.pop(name)
                element.set("href", f"#{used[value[1:]]}")
            elif "url(#" in value:
                element.set(name, LOCAL.sub(lambda found: f"url(#{used[found[1]]})", value))


def references(root: ElementTree.Element) -> set[str]:
    """The ids that a drawing uses."""
    values = [(name, value) for element in root.iter() for name, value in element.attrib.items()]
    linked = {value[1:] for name, value in values if name in LINKS and value.startswith("#")}
    return linked.union(*(LOCAL.findall(value) for _, value in values))


def shorten(root: ElementTree.Element) -> None:
    """Leave out white space between shapes and digits that nobody sees."""
    for element in root.iter():
        element.text, element.tail = (text if (text or "").strip() else None for text in (element.text, element.tail))
        for name in DRAWN & element.attrib.keys():
            words = DIGITS.sub(lambda found: f"{float(found[0]):.2f}".rstrip("0").rstrip("."), element.attrib[name])
            element.set(name, " ".join(words.split()))
