"""``echostats demo``, as far as it runs at once: it says what comes before it loads what takes seconds to load."""

import click


@click.command()
def demo() -> None:
    """Fill the database from a simulated Spotify: three users, three years of history, every statistic."""
    click.echo("Three simulated users, three years of plays, every statistic: this takes a minute or more ...")
    from echostats_pipeline.cli.demo import run_demo  # noqa: PLC0415 - loading it takes seconds

    run_demo()
