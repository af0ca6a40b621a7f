"""HTML pages: one self-contained file each, without scripts, written whole."""

import re
from collections.abc import Mapping
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined

from mixlingua.files import atomic_write
from mixlingua.languages import language_name
from mixlingua.report.comparison_cells import plain_name, spoken


def write_page(path: Path, template: str, content: Mapping[str, object]) -> Path:
    """Render a template of `templates/`; every text is escaped. Returns the path."""
    environment = Environment(
        loader=PackageLoader("mixlingua.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"minus": minus, "language_name": language_name, "metric_name": plain_name, "spoken": spoken}
    text = environment.get_template(template).render(content)
    with atomic_write(path) as partial:
        partial.write_text(text, encoding="utf-8")
    return path


def minus(text: str) -> str:
    """Hyphens before numbers as minus signs."""
    return re.sub(r"(?<![\w.)])-(?=\.?\d)", "\N{MINUS SIGN}", text)
