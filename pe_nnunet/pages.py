"""HTML pages from the templates in `templates`: what is put in is escaped, and nothing is loaded from elsewhere."""

from __future__ import annotations

import base64
import hashlib
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from pe_nnunet.errors.shown import shown_lines

if TYPE_CHECKING:
    from jinja2 import Environment


def render(template: str, **values: Any) -> str:
    """A page as text; control and format characters in it are escaped.

    Args:
        template: Name of a file in `templates`.
        **values: What it shows; one that it asks for and does not get is an error.
    """
    return shown_lines(_environment().get_template(template).render(values))


@lru_cache(maxsize=1)
def _environment() -> Environment:
    """Templates have `source`, a file beside them as it is, and `csp_hash`."""
    from jinja2 import Environment, PackageLoader, StrictUndefined
    from markupsafe import Markup

    loader = PackageLoader("pe_nnunet")
    environment = Environment(
        loader=loader,
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.policies["json.dumps_kwargs"] = {"separators": (",", ":"), "allow_nan": False}
    environment.globals["source"] = lambda name: Markup(loader.get_source(environment, name)[0])  # noqa: S704 - ours
    environment.filters["csp_hash"] = _csp_hash
    return environment


def _csp_hash(text: str) -> str:
    """The name of a style or script in a content security policy."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode("ascii")
