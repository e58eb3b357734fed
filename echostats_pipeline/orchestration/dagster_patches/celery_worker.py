"""The Celery application of a deployment's workers, which execute runs.

`celery --app echostats_pipeline.orchestration.dagster_patches.celery_worker worker` is what a service manager starts:
on SIGTERM, Celery ends its runs first. `dagster-celery worker start` would stand between the two. A signal ends it at
once, and in a container Celery ends with it, in the middle of all runs. It also wants to write into `DAGSTER_HOME`.

It reads ``DAGSTER_CELERY_BROKER`` and ``DAGSTER_CELERY_BACKEND``, and needs the extra ``celery``.
"""

import os

from dagster_celery.make_app import make_app
from dagster_celery.tasks import create_execute_job_task, create_resume_job_task

RESULT_EXPIRES_S = 604_800
"""Longer than any run."""

app = make_app()
app.conf.update(
    broker_url=os.environ.get("DAGSTER_CELERY_BROKER"),
    result_backend=os.environ.get("DAGSTER_CELERY_BACKEND"),
    result_expires=RESULT_EXPIRES_S,
    broker_connection_retry_on_startup=True,
    # A run waits for the first worker that is free, and not behind a long import of a worker that has taken both.
    worker_disable_prefetch=True,
    worker_prefetch_multiplier=1,
    # A process that has canceled a run is not missed by Celery if it is killed later, so each run gets a process.
    worker_max_tasks_per_child=1,
)
execute_job = create_execute_job_task(app)
resume_job = create_resume_job_task(app)
