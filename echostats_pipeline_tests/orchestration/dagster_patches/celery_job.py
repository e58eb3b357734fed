"""A job that Celery workers load by its name: it waits until a file is there."""

import time
from pathlib import Path

import dagster as dg


@dg.op(config_schema={"begun": str, "until": str})
def wait(context: dg.OpExecutionContext) -> None:
    """Say that it has begun, and wait for a file."""
    Path(context.op_config["begun"]).touch()
    while not Path(context.op_config["until"]).exists():
        time.sleep(0.05)


@dg.job(executor_def=dg.in_process_executor)
def waiting() -> None:
    wait()
