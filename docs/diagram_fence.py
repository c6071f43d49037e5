"""Draws the diagrams of the pages as SVG while the site is built, so that no script draws them in the browser."""

from __future__ import annotations

from typing import Any

import mmdr


def drawn(source: str, _language: str, css_class: str, *_: Any, **__: Any) -> str:
    """A fence of superfences: Mermaid source to HTML.

    Args:
        source: What stands in the fence.
        css_class: Of the element around the drawing.
    """
    return f'<div class="{css_class}">{mmdr.render(source).svg()}</div>'
