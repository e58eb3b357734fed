"""Commands that kill themselves as they begin a certain command of MongoDB.

Run as a module, which forks a process for each attempt. Each line on its standard input is the number of that command
and the arguments of `echostats`. For each, the process prints the exit code.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from pymongo import monitoring

from echostats_pipeline.cli import backup
from echostats_pipeline.cli.main import echostats

REPOSITORY = Path(__file__).parents[2]
READY = "ready\n"
NEVER = 0

Attempt = Callable[..., bool]
"""Calls `echostats` with arguments, to die at the command of that number; returns whether it ended before."""


class KillAt(monitoring.CommandListener):
    """Kills this process when it begins the command of a number."""

    def __init__(self, number: int) -> None:
        self._left = number

    def started(self, event: monitoring.CommandStartedEvent) -> None:
        self._left -= 1
        if self._left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    def succeeded(self, event: monitoring.CommandSucceededEvent) -> None:
        pass

    def failed(self, event: monitoring.CommandFailedEvent) -> None:
        pass


@contextmanager
def dying_commands(environ: Mapping[str, str]) -> Iterator[Attempt]:
    with subprocess.Popen(
        [sys.executable, "-m", __name__],
        env={"PATH": os.environ["PATH"], **environ},
        cwd=REPOSITORY,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        answers, questions = process.stdout, process.stdin
        assert answers.readline() == READY

        def attempt(number: int, *arguments: str) -> bool:
            print(json.dumps([number, arguments]), file=questions, flush=True)
            code = int(answers.readline())
            assert code in {0, -signal.SIGKILL}
            return code == 0

        yield attempt
        questions.close()


def main() -> None:
    assert backup.backup  # imported before the forks
    answer(READY)
    for line in sys.stdin:
        number, arguments = json.loads(line)
        pid = os.fork()
        if pid == 0:
            with Path(os.devnull).open("w") as nowhere, contextlib.redirect_stdout(nowhere):
                monitoring.register(KillAt(number))
                echostats(arguments, standalone_mode=False)
            os._exit(0)
        answer(f"{os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])}\n")


def answer(line: str) -> None:
    sys.stdout.write(line)
    sys.stdout.flush()


if __name__ == "__main__":
    main()
