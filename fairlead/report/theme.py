"""The look of all plots, and how a chart becomes SVG that may stand inside a page or alone."""

import re
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

if TYPE_CHECKING:
    import altair as alt

WIDTH = 400
"""Of a plot, in CSS pixels: two stand beside each other on a desk, one fills a phone at nine tenths of its size."""

FONT = "Liberation Sans, Arial, Helvetica, sans-serif"
"""vl-convert ships the first and measures with it; the others are as wide, so labels fit everywhere."""

INK, MUTED, GRID, PAPER = "#1c2630", "#5a6672", "#e2e5e8", "#fdfdfc"
MODEL, QUIET, OCHRE, TEAL, PLUM = "#1f5f99", "#87919b", "#b26a14", "#25806f", "#8a4a80"
CATEGORIES = [MODEL, OCHRE, TEAL, PLUM, QUIET]
SHAPES = ["circle", "diamond", "square", "triangle-up", "cross"]
"""One for each of the categories, for readers who see no colours and for grey printers."""

DARK = {
    INK: "#e6e9ec",
    MUTED: "#a3adb7",
    GRID: "#333c45",
    PAPER: "#14191e",
    MODEL: "#74aee2",
    QUIET: "#6d7883",
    OCHRE: "#e0a458",
    TEAL: "#5fbfab",
    PLUM: "#cd93c4",
}
"""Each colour of a plot → its twin on a dark page."""

_SVG = "http://www.w3.org/2000/svg"
"""Named in the drawing, so that it is also a file of its own."""
_LINE_ENDS = re.compile("[\t\n\r\u2028\u2029]")
_NOT_XML = re.compile("[\x00-\x1f\ufffe\uffff]")
"""Characters that data may hold and XML may not. One of them in a label ends the process: vega/vl-convert#220."""
_LONG_NUMBER = re.compile(r"-?\d+\.\d{3,}(e-\d+)?")
_PLACES = ("d", "transform", "x", "y", "x2", "y2", "width", "height")
"""Attributes of which a hundredth of a pixel is enough."""
_DROPPED = ("class", "role", "aria-roledescription", "aria-hidden", "pointer-events", "version")


def config() -> dict[str, Any]:
    """The Vega-Lite config of every chart: no frame, few lines, titles where reading begins."""
    text = {"labelFont": FONT, "titleFont": FONT, "labelFontSize": 12, "titleFontSize": 12}
    colours = {"labelColor": MUTED, "titleColor": INK, "titleFontWeight": "normal"}
    axis = {"domain": False, "ticks": False, "gridColor": GRID, "labelPadding": 6, "labelLimit": 190, **text, **colours}
    return {
        "background": None,
        "aria": False,
        "font": FONT,
        "padding": {"left": 2, "right": 10, "top": 4, "bottom": 2},
        "view": {"stroke": None},
        "axis": axis,
        "axisX": {"titlePadding": 8, "tickCount": 5},
        "axisY": {"titleAngle": 0, "titleAlign": "left", "titleX": 0, "titleY": -12, "tickCount": 5},
        "legend": {"orient": "top", "symbolSize": 70, "symbolOpacity": 1, "columnPadding": 24, **text, **colours},
        "range": {"category": CATEGORIES},
        "text": {"font": FONT, "fontSize": 12, "color": INK},
        "line": {"color": MODEL, "strokeWidth": 2},
        "point": {"color": MODEL, "filled": True, "size": 45, "opacity": 1},
        "bar": {"color": MODEL},
        "rule": {"color": MUTED, "strokeWidth": 1},
    }


def to_svg(chart: "alt.TopLevelMixin", name: str, alt_text: str) -> str:
    """Draw without a browser. Equal charts give equal text.

    Args:
        chart: any Altair chart; its own config is replaced.
        name: unique in the page; begins every id inside.
        alt_text: what somebody who cannot see the plot should know.
    """
    return spec_to_svg(chart.to_dict(), name, alt_text)


def spec_to_svg(document: dict[str, Any], name: str, alt_text: str) -> str:
    """As `to_svg`, from a document of Vega-Lite."""
    import altair
    import vl_convert

    spec = _drawable(document)
    spec["config"] = config()
    version = ".".join(altair.SCHEMA_VERSION.lstrip("v").split(".")[:2])
    return _for_a_page(vl_convert.vegalite_to_svg(spec, vl_version=version), name, _drawable(alt_text))


def _drawable(part: Any) -> Any:
    """The same part of a spec, without characters that cannot be drawn in its strings."""
    if isinstance(part, str):
        return _NOT_XML.sub("\N{REPLACEMENT CHARACTER}", _LINE_ENDS.sub(" ", part))
    if isinstance(part, dict):
        return {key: _drawable(value) for key, value in part.items()}
    return [_drawable(value) for value in part] if isinstance(part, list) else part


def dark_rules() -> str:
    """CSS that gives the colours of plots their twins. The plots stay whole where there is no CSS."""
    return "\n".join(
        f'.plot [{attribute}="{light}"] {{ {attribute}: {dark} }}'
        for light, dark in DARK.items()
        for attribute in ("fill", "stroke")
    )


def _for_a_page(svg: str, name: str, alt_text: str) -> str:
    """As wide as its column but never wider than drawn; ids of its own; one image to a screen reader."""
    root = ElementTree.fromstring(svg)
    _prune(root)
    ids = [element.attrib["id"] for element in root.iter() if "id" in element.attrib]
    own = {old: f"{name}-{number}" for number, old in enumerate(ids)}  # Vega counts on from chart to chart
    for element in root.iter():
        element.tag = element.tag.rpartition("}")[2]
        kept = {key: value for key, value in element.attrib.items() if key not in _DROPPED}
        element.attrib = {key: _attribute(key, value, own) for key, value in kept.items()}
    root.attrib.update({"xmlns": _SVG, "class": "plot", "role": "img", "aria-label": alt_text})
    root.attrib["style"] = f"max-width:{root.attrib['width']}px"
    return ElementTree.tostring(root, encoding="unicode")


def _attribute(key: str, value: str, ids: dict[str, str]) -> str:
    if key == "id":
        return ids[value]
    if key in _PLACES:
        return _LONG_NUMBER.sub(lambda found: f"{float(found[0]):.2f}", value)
    return re.sub(r"url\(#([^)]+)\)", lambda found: f"url(#{ids[found[1]]})", value)


def _prune(element: ElementTree.Element) -> None:
    """Drop what Vega draws for a pointer or leaves empty."""
    for child in list(element):
        _prune(child)
        hidden = child.get("display") == "none" or child.get("d") in ("", "M0,0h0v0h0Z")
        if hidden or (child.tag.endswith("}g") and not len(child)):
            element.remove(child)
