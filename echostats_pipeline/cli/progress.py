"""The bar of a command that reads or writes many documents."""

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bars


class ProgressBar:
    """A progress bar that counts documents; satisfies `stages.Progress`."""

    def __init__(self, bars: Bars, title: str) -> None:
        self._bars = bars
        self._task = bars.add_task(title, total=None)
        self._total = 0

    def expect(self, items: int) -> None:
        """Announce documents."""
        self._total += items
        self._bars.update(self._task, total=self._total)

    def advance(self, items: int) -> None:
        """Count documents."""
        self._bars.advance(self._task, items)


@contextmanager
def progress_bar(console: Console, title: str) -> Iterator[ProgressBar]:
    """Show a bar until the block ends."""
    columns = (TextColumn("{task.description}"), BarColumn(bar_width=24), MofNCompleteColumn(), TimeRemainingColumn())
    with Bars(*columns, console=console) as bars:
        yield ProgressBar(bars, title)
