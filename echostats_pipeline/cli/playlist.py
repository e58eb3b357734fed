"""``echostats playlist``: makes a playlist from words, a mood or rules, and shows what was understood."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from echostats_pipeline.accounts.connecting import open_client
from echostats_pipeline.cli.database import open_database
from echostats_pipeline.cli.options import user_option
from echostats_pipeline.cli.users import PIPED_WIDTH
from echostats_pipeline.errors import EchostatsError
from echostats_pipeline.model.base import utc_now
from echostats_pipeline.model.playlists import ARCS_IN_WORDS, Arc, GeneratedPlaylist, Understanding
from echostats_pipeline.model.users import User
from echostats_pipeline.settings import Settings, load_settings
from echostats_pipeline.storage.store import Store

if TYPE_CHECKING:
    from echostats_pipeline.playlists.building import PlaylistBuilder
    from echostats_pipeline.playlists.rule_playlists import RulePlaylist

MOOD_KEYS = ("happy", "sad", "energetic", "chill", "focus", "party")
READY_RULES = ("forgotten_favourites", "this_season_last_year", "never_finished", "new_this_month")
BLOCKS = "▁▂▃▄▅▆▇█"
MOST_MINUTES = 1440


class Share(click.ParamType[float]):
    """A share as ``30%`` or ``0.3``."""

    name = "share"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """The share, 0 to 1."""
        text = str(value).strip()
        try:
            share = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
        except ValueError:
            share = -1.0
        if not 0 <= share <= 1:
            self.fail(f"{text!r} is no share. Give one like 30% or 0.3.", param, ctx)
        return share


class Minutes(click.ParamType[float]):
    """A duration of a playlist, at most a day."""

    name = "minutes"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """The minutes."""
        try:
            minutes = float(str(value))
        except ValueError:
            minutes = 0.0
        if not 1 <= minutes <= MOST_MINUTES:
            self.fail(f"{value} is not a number from 1 to {MOST_MINUTES}.", param, ctx)
        return minutes


@click.command()
@click.argument("text", required=False, default="")
@user_option("User of the playlist")
@click.option("--minutes", type=Minutes(), help="Longest duration; 60 unless the words say it.")
@click.option("--songs", type=click.IntRange(1, 500), help="Number of songs, instead of a duration.")
@click.option("--arc", type=click.Choice(["flat", "rise", "fall", "peak"]), help="How the energy runs.")
@click.option("--discover", type=Share(), help="Share of songs that the user has not heard, like 30%.")
@click.option("--mood", type=click.Choice(MOOD_KEYS), help="Make the week's playlist of a mood instead.")
@click.option("--rules", help=f"Make a rule playlist instead: a .nsp file, or {', '.join(READY_RULES)}.")
@click.option("--to-spotify", is_flag=True, help="Write it to Spotify, over the last one of its kind; it is private.")
@click.option("--dry-run", is_flag=True, help="Store nothing and write nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON.")
def playlist(
    text: str,
    name: str | None,
    minutes: float | None,
    songs: int | None,
    arc: Arc | None,
    discover: float | None,
    mood: str | None,
    rules: str | None,
    *,
    to_spotify: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Make a playlist from words like "rainy sunday, calm, no vocals", and say why each song is in it."""
    if sum(map(bool, (text.strip(), mood, rules))) != 1:
        raise click.UsageError("Give either words, or --mood, or --rules.")
    settings = load_settings()
    wish = Wish(text, minutes, songs, arc, discover, mood, rules, to_spotify)
    with open_database(settings) as store:
        user = store.users.find(name)
        made, failure = _made(store, settings, user, wish, stores=not dry_run)
    if as_json:
        click.echo(json.dumps(_as_json(made), ensure_ascii=False, indent=2))
    else:
        _print(user, made, stored=not dry_run)
    if failure:
        raise EchostatsError(failure)


def _print(user: User, made: GeneratedPlaylist, *, stored: bool) -> None:
    console = Console()
    if not console.is_terminal:
        console.width = PIPED_WIDTH
    show(console, user, made)
    if made.spotify_id:
        console.print(Text(f"Written to Spotify: https://open.spotify.com/playlist/{made.spotify_id}"))
    else:
        console.print(Text("Stored." if stored else "Nothing was stored."))


@dataclass(frozen=True)
class Wish:
    """What the command is asked for."""

    text: str
    minutes: float | None
    songs: int | None
    arc: Arc | None
    discover: float | None
    mood: str | None
    rules: str | None
    to_spotify: bool


def _made(store: Store, settings: Settings, user: User, wish: Wish, *, stores: bool) -> tuple[GeneratedPlaylist, str]:
    """Make a playlist, and store it and write it to Spotify if so wished; with it, why it was not written.

    What the user has changed at Spotify is read first, so that the new playlist obeys it.
    """
    from echostats_pipeline.playlists.building import Request  # noqa: PLC0415 - needs numpy
    from echostats_pipeline.playlists.spotify_copies import make_and_write  # noqa: PLC0415

    now = utc_now()
    rules = _rules(wish.rules) if wish.rules else None
    generator = f"rule:{rules.key}" if rules else f"mood:{wish.mood}" if wish.mood else "words"

    def make() -> GeneratedPlaylist:
        builder, over = _builder(store, settings, now), wish.to_spotify
        if rules is not None:
            return builder.by_rules(user, rules, over_copy=over)
        if wish.mood:
            return builder.of_mood(user, wish.mood, over_copy=over)
        request = Request(
            wish.text, minutes=wish.minutes, songs=wish.songs, arc=wish.arc, discover=wish.discover, over_copy=over
        )
        return builder.from_words(user, request)

    if not stores:
        return make(), ""
    if not wish.to_spotify:
        return store.playlists.put(make()), ""
    done = make_and_write(store, open_client(settings, store, user, utc_now), user, generator, make, now)
    return done.made, done.said


def _builder(store: Store, settings: Settings, now: datetime) -> "PlaylistBuilder":
    """The maker of playlists, which knows what users said in applications."""
    from echostats_pipeline.playlists.building import PlaylistBuilder  # noqa: PLC0415

    if "playlist_generator" not in settings.marts:
        return PlaylistBuilder(store, settings, now)
    from echostats_pipeline.marts.playlist_generator.build import PlaylistGeneratorMart  # noqa: PLC0415

    mart = PlaylistGeneratorMart(store, settings, now, "")
    return PlaylistBuilder(store, settings, now, mart.said, mart.preferences)


def _rules(name: str) -> "RulePlaylist":
    from echostats_pipeline.playlists.rule_playlists import READY_MADE, RulePlaylist  # noqa: PLC0415

    if name in READY_MADE:
        return READY_MADE[name]
    path = Path(name)
    try:
        return RulePlaylist.parsed(path.stem, path.read_text(encoding="utf-8"))
    except OSError as error:
        raise EchostatsError(f"The rules {name} cannot be read: {error.strerror or error}.") from error
    except UnicodeDecodeError as error:
        raise EchostatsError(f"The rules {name} cannot be read: they are no UTF-8.") from error


def _as_json(made: GeneratedPlaylist) -> dict[str, object]:
    shown = made.model_dump(mode="json", exclude={"id", "user_id", "query_id", "candidates"})
    return {"id": None if made.id is None else str(made.id), **shown}


def show(console: Console, user: User, made: GeneratedPlaylist) -> None:
    """Print a playlist: what was understood, how many songs there were, the songs, and their curve."""
    if made.understanding is not None:
        _show_understanding(console, made.understanding)
    counts = made.counts
    console.print(
        Text(
            f"{counts.songs:,} songs to choose from: {counts.with_features:,} with audio features, "
            f"{counts.without_features:,} without ({counts.excluded:,} left out for that); {counts.fitting:,} fit"
            + (f", {counts.after_widening:,} after widening." if made.widened else ".")
        )
    )
    for step in made.widened:
        console.print(Text(f"  Widened: {step}"))
    if not made.tracks:
        console.print(Text(f"No playlist: {made.error}"))
        return
    console.print(_table(user, made))
    _show_curves(console, made)
    if made.note:
        console.print(Text(made.note))


def _show_understanding(console: Console, asked: Understanding) -> None:
    table = Table(Column("words"), Column("understood as"), title="What was understood")
    for each in asked.understood:
        table.add_row(Text(each.words), Text(each.meaning))
    if asked.understood:
        console.print(table)
    for near in asked.near:
        verb = "taken for" if near.taken else "not known; did you mean"
        console.print(Text(f"“{near.word}” {verb} “{near.known}”{'.' if near.taken else '?'}"))
    if asked.unknown:
        console.print(Text(f"Not understood: {', '.join(asked.unknown)}."))
    for said in (*asked.contradictions, *asked.notes):
        console.print(Text(said))
    low, high = asked.tempo
    console.print(
        Text(
            f"Asked for: energy {asked.energy[0]:g} to {asked.energy[1]:g}, brightness {asked.brightness[0]:g} to "
            f"{asked.brightness[1]:g}, tempo {low:g} to {high:g} bpm"
            + {True: ", no singing", False: ", with singing", None: ""}[asked.instrumental]
            + "."
        )
    )


def _table(user: User, made: GeneratedPlaylist) -> Table:
    minutes = sum(track.duration_ms for track in made.tracks) / 60_000
    table = Table(
        Column("", justify="right"),
        Column("song", ratio=3),
        Column("artist", ratio=2),
        Column("min", justify="right"),
        Column("energy", justify="right"),
        Column("bright", justify="right"),
        Column("bpm", justify="right"),
        Column("why", ratio=6),
        title=Text(
            f"{made.name}, for {user.display_name or user.partition_key}: {len(made.tracks)} songs, "
            f"{minutes:.0f} minutes"
        ),
        expand=True,
    )
    for track in made.tracks:
        table.add_row(
            str(track.position),
            Text(track.name),
            Text(track.artist_name),
            f"{track.duration_ms // 60_000}:{track.duration_ms // 1000 % 60:02d}",
            _number(track.energy, ".2f"),
            _number(track.brightness, ".2f"),
            _number(track.tempo, ".0f"),
            Text(track.reason),
        )
    return table


def _number(value: float | None, form: str) -> str:
    return "" if value is None else format(value, form)


def _show_curves(console: Console, made: GeneratedPlaylist) -> None:
    energy = [track.energy for track in made.tracks]
    tempo = [track.tempo for track in made.tracks]
    console.print(Text(f"energy {curve(energy, 0.0, 1.0)}  tempo {curve(tempo, 60.0, 200.0)}"))
    if made.smoothness is not None:
        took = f"made in {made.took_ms / 1000:.1f} s"
        console.print(
            Text(f"Mean distance between neighbours {made.smoothness:.2f}; {ARCS_IN_WORDS[made.arc]}; {took}.")
        )


def curve(values: Sequence[float | None], low: float, high: float) -> str:
    """Values as a line of blocks; a space where one is unknown."""
    steps = len(BLOCKS) - 1
    return "".join(
        " " if value is None else BLOCKS[round(min(max((value - low) / (high - low), 0.0), 1.0) * steps)]
        for value in values
    )
