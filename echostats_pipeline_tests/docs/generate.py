"""Writes the parts of the docs that follow from the code: ``python -m echostats_pipeline_tests.docs.generate``.

A page marks such a part: ``<!-- generated: settings -->``, what is generated, ``<!-- end: settings -->``. Everything
outside the marks is written by people. `test_generated` fails when a part is stale.
"""

import re
import sys
from collections.abc import Callable, Mapping

from echostats_pipeline_tests.docs.commands import commands
from echostats_pipeline_tests.docs.decisions import decisions
from echostats_pipeline_tests.docs.pages import CHECKOUT, DOCS, pages
from echostats_pipeline_tests.docs.schema import (
    analytics_schema,
    echostats_schema,
    echotune_schema,
    pipeline_schema,
    playlist_generator_schema,
)
from echostats_pipeline_tests.docs.tables import assets, checks, jobs, schedules, sensors, settings

PARTS: Mapping[str, Callable[[], str]] = {
    "settings": settings,
    "assets": assets,
    "checks": checks,
    "jobs": jobs,
    "sensors": sensors,
    "schedules": schedules,
    "echostats-schema": echostats_schema,
    "pipeline-schema": pipeline_schema,
    "echotune-schema": echotune_schema,
    "playlist-generator-schema": playlist_generator_schema,
    "analytics-schema": analytics_schema,
    "commands": commands,
    "decisions": lambda: decisions(DOCS / "understand" / "decisions"),
}
"""What each generated part says, as Markdown."""
MARKED = re.compile(r"(?P<begin><!-- generated: (?P<part>[a-z-]+) -->\n).*?(?P<end><!-- end: (?P=part) -->)", re.DOTALL)


def generated(text: str) -> str:
    """A page with its marked parts as the code has them now.

    Raises:
        KeyError: it marks a part that nothing generates.
    """
    return MARKED.sub(lambda found: f"{found['begin']}\n{PARTS[found['part']]().strip()}\n\n{found['end']}", text)


def main() -> None:
    """Rewrite every page whose marked parts are stale, and name it."""
    for page in pages():
        written = page.read_text(encoding="utf-8")
        if (text := generated(written)) != written:
            page.write_text(text, encoding="utf-8")
            sys.stdout.write(f"{page.relative_to(CHECKOUT)}\n")


if __name__ == "__main__":
    main()
