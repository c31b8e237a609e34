"""From the SVG file that matplotlib writes to an element that fits into a page, beside others like it."""

from __future__ import annotations

import hashlib
import re
from xml.etree import ElementTree

LOCAL_URL = re.compile(r"url\(#([^)]+)\)")


def svg_element(text: str, *, label: str, font_family: str) -> str:
    """One ``<svg>`` element: no prolog, no metadata, no style sheet that would hold for the whole page.

    Ids that something refers to get a prefix made from content and label, so that two figures in a page don't meet; the
    others go. Text is in ``font_family`` as a whole.

    Args:
        text: an SVG file of ours; it is parsed as XML, so what comes back is well-formed.
        label: what the figure shows, for those who don't see it.
        font_family: as in CSS.
    """
    root = ElementTree.fromstring(text)
    digest = hashlib.sha256(text.encode() + label.encode()).hexdigest()
    prefix = f"c{digest[:10]}-"
    used = {target for element in root.iter() for name, value in element.items() for target in _targets(name, value)}
    for element in list(root.iter()):
        for child in list(element):
            if _local(child.tag) in {"metadata", "style"}:
                element.remove(child)
        element.tag = _local(element.tag)
        element.text = element.text if element.tag in {"text", "tspan"} else None
        element.tail = None
        attributes = {_local(name): value for name, value in element.items()}
        element.attrib.clear()
        for name, value in attributes.items():
            if name == "id":
                if value in used:
                    element.set("id", prefix + value)
            elif name == "href" and value.startswith("#"):
                element.set("href", f"#{prefix}{value[1:]}")
            elif name == "style":
                element.set(
                    "style", "; ".join(part for part in value.split("; ") if not part.startswith("font-family"))
                )
            elif name != "version":
                element.set(name, LOCAL_URL.sub(rf"url(#{prefix}\1)", value))
    root.set("xmlns", "http://www.w3.org/2000/svg")
    root.set("role", "img")
    root.set("aria-label", label)
    root.set("style", f"font-family: {font_family}; stroke-linejoin: round")
    return ElementTree.tostring(root, encoding="unicode")


def _targets(name: str, value: str) -> list[str]:
    """Ids that an attribute refers to."""
    if _local(name) == "href":
        return [value[1:]] if value.startswith("#") else []
    return LOCAL_URL.findall(value)


def _local(name: str) -> str:
    """A name without its namespace."""
    return name.rpartition("}")[2]
