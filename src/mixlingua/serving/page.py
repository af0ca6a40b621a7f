"""The page of a server: one file, with its script and its style in it, that asks nobody but its own server."""

import base64
import hashlib
import re
from collections.abc import Mapping, Sequence
from typing import Any

from mixlingua.languages import language_name
from mixlingua.report.page import rendered
from mixlingua.serving.settings import ServerSettings


def search_page(
    indexes: Sequence[Mapping[str, Any]], examples: Sequence[tuple[str, str]], settings: ServerSettings
) -> str:
    """The page as HTML. indexes: name, model, languages and documents of each. examples: language and query."""
    languages = {code: language_name(code) for index in indexes for code in index["languages"]}
    content = {
        "indexes": indexes,
        "languages": dict(sorted(languages.items(), key=lambda item: item[1])),
        "examples": examples,
        "needs_token": settings.token is not None,
        "max_results": min(20, settings.max_results),
    }
    return rendered("search.html", content, package="mixlingua.serving")


def content_policy(page: str) -> str:
    """A Content-Security-Policy under which a browser runs this page's script, uses its style, and nothing else."""

    def hashes(tag: str) -> str:
        return " ".join(
            f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
            for text in re.findall(rf"<{tag}>(.*?)</{tag}>", page, re.DOTALL)
        )

    return (
        f"default-src 'none'; script-src {hashes('script')}; style-src {hashes('style')}; img-src data:; "
        "connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    )
