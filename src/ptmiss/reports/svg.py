"""Figures as SVG inside a page: shapes alone, and a title for those who cannot see them.

A :class:`Sheet` holds once what all drawings of a page share: letters, markers, axes, clip paths and styles.
"""

from __future__ import annotations

import io
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

import matplotlib as mpl
from matplotlib.figure import Figure

from ptmiss.errors import FileError
from ptmiss.plots import STYLE

SPACE, LINK = "http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"
SHAPES = {"svg", "g", "path", "use", "defs", "clipPath", "pattern", "rect", "circle", "text", "tspan", "line", "image"}
"""Elements that are kept; any other (a script, say) is left out with all that is in it."""
AXIS = "matplotlib.axis"  # beginning of the ids of axes with their ticks
WIDE = 1.3  # width over height
LINKS = ("href", f"{{{LINK}}}href")
LOCAL = re.compile(r"url\(#([^)]+)\)")
DECLARATION = re.compile(r"(?:fill|stroke|opacity|font)[a-z-]*: ?(?:url\(#[\w-]+\)|[\w#.,% '-]+)")
DRAWN = {"d", "x", "y", "width", "height", "transform"}
TICK = re.compile(r'<path d="M 0 0 L (\S+) (\S+)" class="(\w+)"/>')
DIGITS = re.compile(r"(?<![\d.])[1-9]\d*\.\d{2,}")  # of numbers above 1: those below may be scales


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


@dataclass
class Sheet:
    """What drawings share. defs: ids of elements, by their text; styles: classes, by declarations of CSS."""

    defs: dict[str, str] = field(default_factory=dict)
    styles: dict[str, str] = field(default_factory=dict)

    def inline(self, figure: Figure | Drawing, name: str, title: str) -> str:
        """``<svg>`` for a page; name: unique in the page; title: read aloud."""
        try:
            root = ElementTree.fromstring(text_of(figure))
        except ElementTree.ParseError as error:
            raise FileError(f"the drawing {name} is no SVG: {error}") from error
        clean(root)
        shorten(root)
        axes = [group for group in root.iter() if group.get("id", "").startswith(AXIS)]
        self.share(root)
        for axis in axes:
            self.replace(axis)
        flatten(root)
        unite(root)
        for size in ("width", "height", "version"):
            root.attrib.pop(size, None)
        root.set("role", "img")
        root.set("aria-labelledby", f"{name}-title")
        label = Element(f"{{{SPACE}}}title", {"id": f"{name}-title"})
        label.text = title
        root.insert(0, label)
        return text(root)

    def share(self, root: Element) -> None:
        """Move definitions and styles of a drawing here, and let it refer to them."""
        self.style(root)
        names = {name: self.define(element) for name, element in take_definitions(root).items()}
        for element in root.iter():
            element.attrib.pop("id", None)
            refer(element, names)

    def define(self, element: Element) -> str:
        """The id of a definition, a new one if none is like it."""
        return self.defs.setdefault(text(element), f"g{len(self.defs)}")

    def replace(self, group: Element) -> None:
        """Draw a group by a reference: axes with the same ticks and words are many in a page."""
        inner = Element(group.tag)
        inner[:], group[:] = group[:], []
        flatten(inner)
        draw_ticks(inner, {name: one for one, name in self.defs.items()})
        group.tag = f"{{{SPACE}}}use"
        group.set("href", f"#{self.define(inner)}")

    def style(self, root: Element) -> None:
        """Classes in place of styles. What points into the drawing itself, as hatches do, stays where it is."""
        for element in root.iter():
            words = "; ".join(sorted(DECLARATION.findall(element.attrib.pop("style", ""))))
            if "url(" in words:
                element.set("style", words)
            elif words:
                element.set("class", self.styles.setdefault(words, f"c{len(self.styles)}"))

    def definitions(self) -> str:
        """All definitions, for one ``<defs>``."""
        return "".join(re.sub(r"^<(\w+)", rf'<\1 id="{name}"', one) for one, name in self.defs.items())

    def rules(self) -> str:
        """All styles as a style sheet."""
        return "".join(f".{name}{{{words}}}" for words, name in self.styles.items())


def take_definitions(root: Element) -> dict[str, Element]:
    """The definitions of a drawing by their ids; it is without them afterwards."""
    found = {}
    for parent in list(root.iter()):
        for child in [child for child in parent if child.tag == f"{{{SPACE}}}defs"]:
            found.update({one.attrib.pop("id"): one for one in child if "id" in one.attrib})
            parent.remove(child)
    return found


def refer(element: Element, names: dict[str, str]) -> None:
    """Replace the names that an element refers to; a reference to nothing is left out."""
    for key, value in list(element.attrib.items()):
        if key in LINKS and value.startswith("#"):
            del element.attrib[key]
            if value[1:] in names:
                element.set("href", f"#{names[value[1:]]}")
        elif "url(#" in value:
            del element.attrib[key]
            if all(name in names for name in LOCAL.findall(value)):
                element.set(key, LOCAL.sub(lambda found: f"url(#{names[found[1]]})", value))


def text(element: Element) -> str:
    """An element as a page has it, without its name space."""
    ElementTree.register_namespace("", SPACE)
    element.tail = None
    return ElementTree.tostring(element, encoding="unicode").replace(f' xmlns="{SPACE}"', "").replace(" />", "/>")


def is_wide(text: str) -> bool:
    """Whether a drawing is so much wider than high that it wants a row of its own."""
    found = re.search(r'viewBox="\S+ \S+ (\S+) (\S+)"', text)
    return found is not None and float(found[1]) > WIDE * float(found[2])


def clean(element: Element) -> None:
    """Leave out what is no shape, handlers of events, and links to anything outside of the drawing."""
    for child in list(element):
        if str(child.tag).removeprefix(f"{{{SPACE}}}") in SHAPES:
            clean(child)
        else:
            element.remove(child)
    for name, value in list(element.attrib.items()):
        if name.lower().startswith("on") or (name in LINKS and not value.startswith(("#", "data:image/png;base64,"))):
            del element.attrib[name]


def flatten(element: Element) -> None:
    """Leave out groups that say nothing of what is in them, and paths of points that are not numbers."""
    for child in element:
        flatten(child)
    kept = [child for child in element if child.tag != f"{{{SPACE}}}path" or "d" in child.attrib]
    element[:] = [one for child in kept for one in (child if is_plain(child) else [child])]


def is_plain(element: Element) -> bool:
    """Whether it is a group without attributes."""
    return element.tag == f"{{{SPACE}}}g" and not element.attrib


def unite(root: Element) -> None:
    """Join neighbouring lines of one look to one path."""
    for parent in root.iter():
        for before, after in pairwise(list(parent)):
            if is_line(before) and is_line(after) and rest(before) == rest(after):
                after.set("d", f"{before.get('d')} {after.get('d')}")
                parent.remove(before)


def draw_ticks(axis: Element, marks: Mapping[str, str]) -> None:
    """Draw the ticks of an axis as one path for each look, in place of a reference for each tick."""
    courses: dict[str, str] = {}
    for tick in list(axis):
        if mark := TICK.match(marks.get(tick.get("href", "#")[1:], "")):
            x, y = (float(tick.get(name, 0)) for name in "xy")
            line = f"M {x:g} {y:g} L {x + float(mark[1]):g} {y + float(mark[2]):g}"
            courses[mark[3]] = f"{courses.get(mark[3], '')} {line}".strip()
            axis.remove(tick)
    axis.extend(Element(f"{{{SPACE}}}path", {"d": course, "class": look}) for look, course in courses.items())


def is_line(element: Element) -> bool:
    """Whether it is a path that is not closed, and so is not filled."""
    return element.tag == f"{{{SPACE}}}path" and "z" not in element.get("d", "z").lower()


def rest(element: Element) -> dict[str, str]:
    """All attributes of a path but its course."""
    return {key: value for key, value in element.attrib.items() if key != "d"}


def shorten(root: Element) -> None:
    """Leave out white space between shapes and digits that nobody sees."""
    for element in root.iter():
        element.text, element.tail = (text if (text or "").strip() else None for text in (element.text, element.tail))
        for name in DRAWN & element.attrib.keys():
            words = DIGITS.sub(shortened, element.attrib[name])
            element.set(name, " ".join(words.split()))


def shortened(found: re.Match[str]) -> str:
    """A length in points to a hundredth below ten, to a tenth above."""
    number = float(found[0])
    return f"{number:.{1 if number >= 10 else 2}f}".rstrip("0").rstrip(".")
