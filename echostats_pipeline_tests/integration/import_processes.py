"""Import processes that can be killed at any moment: a prepared process forks another for each attempt.

Run as a module: the environment names the database, the arguments are the present instant and the export. Each line on
its standard input is a number of seconds. For each, the process imports, kills the import if it takes longer, and
prints the exit code.
"""

import os
import select
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from functools import partial
from pathlib import Path
from unittest.mock import patch

from echostats_pipeline.importers.reading import read_export
from echostats_pipeline.local.database import open_store
from echostats_pipeline.settings import load_settings
from echostats_pipeline.stages import imports
from echostats_pipeline.storage import plays

REPOSITORY = Path(__file__).parents[2]
ROWS_AT_ONCE, WRITES_AT_ONCE = 125, 20
"""Small steps, so that a kill can hit many moments between two writes."""
READY = "ready\n"


class NoProgress:
    """Progress that is not shown."""

    def expect(self, items: int) -> None:
        pass

    def advance(self, items: int) -> None:
        pass


@contextmanager
def killable_imports(environ: Mapping[str, str], now: datetime, export: Path) -> Iterator[Callable[[float], bool]]:
    """A function that imports and kills the import after some seconds; it returns whether the import had ended."""
    command = [sys.executable, "-m", __name__, now.isoformat(), str(export)]
    with subprocess.Popen(
        command, env=dict(environ), cwd=REPOSITORY, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        answers, questions = process.stdout, process.stdin
        assert answers.readline() == READY

        def attempt(seconds: float) -> bool:
            print(seconds, file=questions, flush=True)
            code = int(answers.readline())
            assert code in {0, -signal.SIGKILL}
            return code == 0

        yield attempt
        questions.close()


def main(instant: str, export: str) -> None:
    answer(READY)
    for seconds in sys.stdin:
        pid = os.fork()
        if pid == 0:
            run_import(datetime.fromisoformat(instant), Path(export))
            os._exit(0)
        ending = os.pidfd_open(pid)
        if not select.select([ending], [], [], float(seconds))[0]:
            os.kill(pid, signal.SIGKILL)
        os.close(ending)
        answer(f"{os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])}\n")


def answer(line: str) -> None:
    sys.stdout.write(line)
    sys.stdout.flush()


def run_import(now: datetime, export: Path) -> None:
    in_small_steps = partial(read_export, chunk_rows=ROWS_AT_ONCE)
    with (
        patch.object(plays, "BATCH", WRITES_AT_ONCE),
        patch.object(imports, "read_export", in_small_steps),
        open_store(load_settings(os.environ, env_file=None)) as store,
    ):
        (user,) = store.users.all()
        imports.import_export(store, user, [export], progress=NoProgress(), clock=lambda: now)


if __name__ == "__main__":
    main(*sys.argv[1:])
