"""``echostats genres``: whose genres a user's artists have, and the genres the user hears most."""

import json
from typing import Any

import click
from rich.console import Console
from rich.table import Column, Table

from echostats_pipeline.cli.database import open_database
from echostats_pipeline.cli.options import user_option
from echostats_pipeline.cli.users import PIPED_WIDTH
from echostats_pipeline.model.base import utc_now
from echostats_pipeline.report.formatting import plural
from echostats_pipeline.report.reads import ReportStore
from echostats_pipeline.settings import load_settings
from echostats_pipeline.spotify.transport import SERVICE_NAMES
from echostats_pipeline.stages.artist_tags import LICENCES, tag_progress
from echostats_pipeline.stages.genre_coverage import genre_coverage

SHOWN = 10


@click.command()
@user_option("User whose plays count")
@click.option("--json", "as_json", is_flag=True, help="Print everything as JSON.")
def genres(name: str | None, as_json: bool) -> None:
    """Show for how many artists and plays of a user genres are known, from which source, and the top genres."""
    settings, now = load_settings(), utc_now()
    with open_database(settings) as store:
        user = store.users.find(name)
        coverage = genre_coverage(store, user, settings.min_play_ms)
        progress = tag_progress(store, settings.genres, now)
        waits = store.limits.waiting(list(LICENCES), now)
        statistics = ReportStore(store.db).all_time(user.user_id)
    top = statistics.top_genres[:SHOWN] if statistics else []
    sources = [*dict.fromkeys([*settings.genres, *sorted(coverage.artists.keys() | coverage.plays.keys()), ""])]
    found: dict[str, Any] = {
        "user": user.partition_key,
        "sources": [
            {
                "source": source or None,
                "artists": coverage.artists.get(source, 0),
                "plays": coverage.plays.get(source, 0),
                "licence": LICENCES.get(source),
            }
            for source in sources
            if source or coverage.artists.get("") or coverage.plays.get("")
        ],
        "artists_covered": round(coverage.artists_covered, 4),
        "plays_covered": round(coverage.plays_covered, 4),
        "top_genres": [{"rank": each.rank, "name": each.name, "plays": each.play_count} for each in top],
        "progress": progress.text if settings.genres else None,
        "waiting": {name: {"until": until.isoformat(), "reason": reason} for name, (until, reason) in waits.items()},
    }
    if as_json:
        click.echo(json.dumps(found, indent=2, ensure_ascii=False))
    else:
        _print(found)


def _print(found: dict[str, Any]) -> None:
    console = Console()
    if not console.is_terminal:
        console.width = PIPED_WIDTH
    artists, plays = (sum(each[what] for each in found["sources"]) for what in ("artists", "plays"))
    table = Table(
        "genres from", Column("artists", justify="right"), Column("plays", justify="right"), Column("licence"), box=None
    )
    for each in found["sources"]:
        shares = (
            f"{each[what]:,} ({_percent(each[what], total)})"
            for what, total in (("artists", artists), ("plays", plays))
        )
        table.add_row(SERVICE_NAMES.get(each["source"], "no source"), *shares, each["licence"] or "")
    console.print(table)
    click.echo(
        f"{found['artists_covered']:.0%} of {plural(artists, 'artist')} and {found['plays_covered']:.0%} of "
        f"{plural(plays, 'play')} have genres."
    )
    for each in found["top_genres"]:
        click.echo(f"{each['rank']:>3}. {each['name']} ({plural(each['plays'], 'play')})")
    if not found["top_genres"]:
        click.echo(
            "There are no top genres yet: the statistics of this user are built once plays and genres are known."
        )
    if found["progress"]:
        click.echo(f"Genres of all users: {found['progress']}.")
    else:
        click.echo("No source is asked for genres: ECHOSTATS_GENRES is none.")
    for source, wait in found["waiting"].items():
        click.echo(f"{SERVICE_NAMES[source]} is not called before {wait['until']}: {wait['reason']}.")


def _percent(part: int, total: int) -> str:
    return f"{part / total:.0%}" if total else "0%"
