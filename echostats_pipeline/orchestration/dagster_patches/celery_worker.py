"""Dagster's Celery application with the settings of a deployment's workers, which execute runs.

`celery --app echostats_pipeline.orchestration.dagster_patches.celery_worker worker` is what a service manager starts:
on SIGTERM, Celery ends its runs first. `dagster-celery worker start` would stand between the two. A signal ends it at
once, and in a container Celery ends with it, in the middle of all runs. It also wants to write into `DAGSTER_HOME`.

Celery itself reads ``CELERY_BROKER_URL`` and ``CELERY_RESULT_BACKEND``. The extra ``celery`` is needed.
"""

from dagster_celery.app import app

app.conf.update(
    result_expires=604_800,  # seconds; longer than any run
    broker_connection_retry_on_startup=True,
    # A run waits for the first worker that is free, and not behind a long import of a worker that has taken both.
    worker_disable_prefetch=True,
    # A process that has canceled a run is not missed by Celery if it is killed later, so each run gets a process.
    worker_max_tasks_per_child=1,
)
