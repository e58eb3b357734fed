"""The pages as their readers see them, and the code that they print."""

import re
from collections.abc import Iterator
from pathlib import Path

CHECKOUT = Path(__file__).parents[2]
DOCS = CHECKOUT / "docs"
README = CHECKOUT / "README.md"
CONTRIBUTING = CHECKOUT / "CONTRIBUTING.md"


def pages() -> Iterator[Path]:
    """Every page of the docs."""
    yield from sorted(DOCS.rglob("*.md"))


def page(name: str) -> str:
    """The text of a page of the docs, by its path below ``docs``."""
    return (DOCS / name).read_text(encoding="utf-8")


def blocks(language: str, *names: str) -> list[str]:
    """The blocks of code in a language on the named pages; on the README, CONTRIBUTING and all pages if none is."""
    texts = [page(name) for name in names] or [
        each.read_text(encoding="utf-8") for each in (README, CONTRIBUTING, *pages())
    ]
    return [code for text in texts for code in code_of(text, language)]


def code_of(text: str, language: str) -> list[str]:
    """The blocks of code in a language; those in lists are indented."""
    found = re.findall(rf"^( *)```{language}\n(.*?)^\1```", text, re.DOTALL | re.MULTILINE)
    return [re.sub(rf"^{indent}", "", code, flags=re.MULTILINE) for indent, code in found]
