"""Fills a state folder as it looks after some use: ``python -m … DAYS PEOPLE``, with settings from the environment.

PEOPLE simulated people are connected, and the first has imported DAYS days. All were synced, and everything is built:
the sensors find no work but the next sync.
"""

import sys
from datetime import timedelta

from rich.console import Console

from echostats_pipeline.cli.demo import NO_SPOTIFY
from echostats_pipeline.cli.imports import import_with, rebuild_with, run_of_user
from echostats_pipeline.cli.instance import Runner, open_pipeline
from echostats_pipeline.cli.simulated import connect_person, simulated_spotify
from echostats_pipeline.model.base import utc_now
from echostats_pipeline.orchestration.automation.run_requests import sync_request
from echostats_pipeline.settings import load_settings, set_environment
from echostats_pipeline.simulator.exports import write_extended_export


def furnish(days: int, people: int) -> None:
    set_environment(NO_SPOTIFY)
    settings = load_settings()
    with open_pipeline(settings) as (store, instance), simulated_spotify(settings) as simulator:
        runner = Runner(instance, store, settings, Console(quiet=True))
        persons = simulator.world.users[:people]
        users = [connect_person(settings, store, simulator, person, utc_now()) for person in persons]
        for user in users:
            runner.add_user(user)
        export, until = settings.home / "my_spotify_data.zip", utc_now() - timedelta(days=1)
        write_extended_export(simulator.world, persons[0], until - timedelta(days=days), until, export)
        import_with(runner, users[0], [export])
        for user in users:
            runner.run("sync", "user_sync", tags=sync_request(user, utc_now(), settings.sync_interval_minutes).tags)
            run_of_user(runner, "library", "library_sync", user)
        runner.run("catalogue", "catalog_enrichment")
        for user in users:
            rebuild_with(runner, store, user)
            run_of_user(runner, "report", "report_build", user)
        runner.run("audit", "audit")


if __name__ == "__main__":
    furnish(*map(int, sys.argv[1:]))
