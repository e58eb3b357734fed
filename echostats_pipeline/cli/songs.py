"""``echostats songs``: shows which of Spotify's ids count as one song."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict

import click
from rich.console import Console
from rich.table import Column, Table

from echostats_pipeline.cli.database import open_database
from echostats_pipeline.cli.lazy import LazyGroup
from echostats_pipeline.cli.options import user_option
from echostats_pipeline.cli.users import PIPED_WIDTH
from echostats_pipeline.model.users import User
from echostats_pipeline.report.formatting import plural
from echostats_pipeline.settings import load_settings
from echostats_pipeline.stages.songs import JoinedSong, joined_songs
from echostats_pipeline.transforms.statistics.songs import Why

REASONS: Mapping[Why, str] = {
    "shown": "shown: its most played id",
    "rule": "a rule of yours",
    "isrc": "same ISRC",
    "length": "same title, artist and length",
    "title": "same title and artist; a length is not known yet",
}


@click.group(cls=LazyGroup)
def songs() -> None:
    """Show which Spotify ids count as one song."""


@songs.command()
@user_option("User whose plays are compared")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
def duplicates(name: str | None, as_json: bool) -> None:
    """List the songs that a user has played under several ids, and why these count as one song."""
    settings = load_settings()
    with open_database(settings, indexes=False) as store:
        user = store.users.find(name)
        joined = joined_songs(store, user)
    if as_json:
        click.echo(json.dumps([_document(song) for song in joined], ensure_ascii=False, indent=2))
        return
    if joined:
        console = Console()
        if not console.is_terminal:
            console.width = PIPED_WIDTH
        console.print(songs_table(joined))
    click.echo(summary(user, joined, same_recording=settings.same_recording))


def songs_table(joined: Iterable[JoinedSong]) -> Table:
    """A table with a section for each song, and a line for each of its ids."""
    table = Table("title", "artist", "album", Column("plays", justify="right"), "id", "why")
    for song in joined:
        for each in song.ids:
            table.add_row(
                each.name, each.artist_name, each.album_name, f"{each.play_count:,}", each.spotify_id, REASONS[each.why]
            )
        table.add_section()
    return table


def summary(user: User, joined: list[JoinedSong], *, same_recording: bool) -> str:
    """What was joined, in one or two sentences."""
    if not joined:
        return f"Nothing was joined: {user.partition_key} has played every song under one id."
    ids = sum(len(song.ids) for song in joined)
    has = "has" if len(joined) == 1 else "have"
    text = f"{plural(len(joined), 'song')} of {user.partition_key} {has} several ids: {ids:,} in all."
    if not same_recording:
        text += " ECHOSTATS_SAME_RECORDING is off: the statistics count every id for itself."
    return text


def _document(song: JoinedSong) -> dict[str, object]:
    return {
        "spotify_id": song.ids[0].spotify_id,
        "name": song.ids[0].name,
        "artist_name": song.ids[0].artist_name,
        "play_count": song.play_count,
        "ids": [asdict(each) for each in song.ids],
    }
