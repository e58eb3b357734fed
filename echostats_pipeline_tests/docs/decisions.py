"""The index of decisions, as Markdown, from the head of each."""

import re
from pathlib import Path

from echostats_pipeline_tests.docs.tables import table

HEAD = re.compile(
    r"# (?P<title>[^\n]+)\n\n"
    r"Date: (?P<date>\d{4}-\d{2}-\d{2})(?:, changed (?P<changed>\d{4}-\d{2}-\d{2}))?\. "
    r"Status: (?P<status>accepted|superseded by \[\d{4}\]\([^)]+\))\.\n"
)
"""How a decision begins."""


def decisions(folder: Path) -> str:
    """Every decision with its number, its date and its status.

    Raises:
        ValueError: one does not begin as `HEAD` says.
    """
    rows = []
    for page in sorted(folder.glob("[0-9]*.md")):
        head = HEAD.match(page.read_text(encoding="utf-8"))
        if head is None:
            raise ValueError(f"{page.name} does not begin with a title, a date and a status")
        number = page.name[:4]
        rows.append((f"[{number}]({page.name})", head["title"], head["date"], head["changed"] or "", head["status"]))
    return table(("number", "decision", "date", "changed", "status"), rows)
