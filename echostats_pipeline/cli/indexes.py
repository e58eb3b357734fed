"""``echostats indexes``: creates or repairs the declared indexes."""

import click

from echostats_pipeline.cli.database import open_database
from echostats_pipeline.settings import load_settings
from echostats_pipeline.storage.indexes import ensure_indexes, repair_indexes
from echostats_pipeline.storage.validators import ensure_validators


@click.command()
@click.option("--repair", is_flag=True, help="Drop and rebuild indexes whose options contradict the declared ones.")
def indexes(repair: bool) -> None:
    """Create every declared index that is missing. Documents are never changed."""
    settings = load_settings()
    with open_database(settings, indexes=False) as store:
        if repair:
            rebuilt = repair_indexes(store.db, store.databases)
            click.echo(f"Rebuilt: {', '.join(rebuilt)}" if rebuilt else "Nothing had to be rebuilt.")
        else:
            ensure_indexes(store.db, store.databases)
        ensure_validators(store.db, store.databases)
    click.echo(f"Every declared index exists in {settings.mongo_db}.")
