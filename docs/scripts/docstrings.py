"""Docstrings as the library pages show them: lines of `name: meaning` become a list.

mkdocstrings loads the class as an extension of griffe (mkdocs.yml).
"""

import re
from typing import Any

import griffe

ARGUMENT = re.compile(r"([a-z_]\w*(?:, [a-z_]\w*)*): (.+)")


class ArgumentLists(griffe.Extension):
    """Turns the argument lines of every docstring into Markdown lists."""

    def on_object(self, *, obj: griffe.Object, **kwargs: Any) -> None:
        if obj.docstring:
            obj.docstring.value = with_lists(obj.docstring.value)


def with_lists(docstring: str) -> str:
    """The docstring with `name: meaning` as items; the lines below an item go on with it up to a blank line.

    A line that begins with a capital after the end of a sentence ends the list as well.
    """
    lines: list[str] = []
    in_list = False
    for line in docstring.splitlines():
        match = None if line.startswith(" ") else ARGUMENT.fullmatch(line)
        if match and lines:
            if not in_list and lines[-1]:
                lines.append("")
            names = ", ".join(f"`{name}`" for name in match[1].split(", "))
            lines.append(f"- {names}: {match[2]}")
            in_list = True
        elif in_list and line[:1].isupper() and lines[-1].endswith("."):
            lines += ["", line]
            in_list = False
        elif in_list and line.strip():
            lines.append(f"  {line.strip()}")
        else:
            lines.append(line)
            in_list = in_list and bool(line.strip())
    return "\n".join(lines)
