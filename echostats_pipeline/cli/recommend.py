"""``echostats recommend``: shows a user's recommendations."""

import json
from collections.abc import Collection, Mapping, Sequence

import click
from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from echostats_pipeline.cli.database import open_database
from echostats_pipeline.cli.options import user_option
from echostats_pipeline.cli.users import PIPED_WIDTH
from echostats_pipeline.errors import EchostatsError
from echostats_pipeline.model.base import utc_now
from echostats_pipeline.model.recommendations import RecommendationList, RecommendedTrack, Source, Task
from echostats_pipeline.model.users import User
from echostats_pipeline.settings import Settings, load_settings
from echostats_pipeline.storage.store import Store

MOST = 50
TITLES: Mapping[Task, str] = {"discover": "New to", "rediscover": "To hear again, for"}
SOURCES: Mapping[Source, str] = {
    "other_users": "others here",
    "library": "library",
    "artist_albums": "albums of the artist",
    "similar_tags": "similar tags",
    "own_history": "own history",
}


@click.command()
@user_option("User to recommend to")
@click.option("--discover", is_flag=True, help="Only songs that the user has not heard yet.")
@click.option("--rediscover", is_flag=True, help="Only songs played often, and not for half a year.")
@click.option("--limit", type=click.IntRange(1, MOST), default=30, show_default=True, help="Most songs in each list.")
@click.option("--json", "as_json", is_flag=True, help="Print the lists as JSON.")
def recommend(name: str | None, limit: int, *, discover: bool, rediscover: bool, as_json: bool) -> None:
    """List songs that a user may like to hear, and why: new ones, and ones to hear again."""
    settings = load_settings()
    refuse_if_off(settings)
    with open_database(settings) as store:
        user = store.users.find(name)
        lists = _known_lists(store, settings, user)
    asked: Mapping[Task, bool] = {"discover": discover, "rediscover": rediscover}
    wanted = [task for task in TITLES if asked[task] or not any(asked.values())]
    chosen = {each: lists[each].model_copy(update={"tracks": lists[each].tracks[:limit]}) for each in wanted}
    if as_json:
        click.echo(json.dumps({each: _as_json(made) for each, made in chosen.items()}, ensure_ascii=False, indent=2))
        return
    console = Console()
    if not console.is_terminal:
        console.width = PIPED_WIDTH
    for each, made in chosen.items():
        _print(console, f"{TITLES[each]} {user.display_name or user.partition_key}", made, limit)


def refuse_if_off(settings: Settings) -> None:
    """Stop a command about recommendations while they are off.

    Raises:
        EchostatsError: they are off.
    """
    if not settings.recommends:
        raise EchostatsError(
            "Recommendations are off. Set ECHOSTATS_RECOMMENDATIONS=on to have them computed every night on this "
            "machine, from the plays of each user and of users who share theirs. Spotify's developer policy restricts "
            "the use of its content for machine learning; read it first."
        )


def _known_lists(store: Store, settings: Settings, user: User) -> dict[Task, RecommendationList]:
    """The stored lists of a user without what the user has disliked since, or the first ones, made now."""
    from echostats_pipeline.marts.echotune.recommending import (  # noqa: PLC0415 - needs scipy
        disliked_tracks,
        recommender_of,
    )
    from echostats_pipeline.recommender.building import build_neighbours  # noqa: PLC0415

    now = utc_now()
    if not (lists := store.recommendations.lists(user.user_id)):
        if not store.recommendations.shared_songs().height:
            build_neighbours(store, settings, now)
        return dict(recommender_of(store, settings, now).rebuild_lists(user).lists)
    disliked = disliked_tracks(store, settings, user, now)
    return {task: without(made, disliked) for task, made in lists.items()}


def without(made: RecommendationList, disliked: Collection[str]) -> RecommendationList:
    """A list without some tracks, and the further lists that come with it; the others move up."""

    def left(tracks: Sequence[RecommendedTrack]) -> list[RecommendedTrack]:
        kept = [track for track in tracks if track.spotify_id not in disliked]
        return [track.model_copy(update={"rank": rank}) for rank, track in enumerate(kept, start=1)]

    further = [each.model_copy(update={"tracks": left(each.tracks)}) for each in made.further]
    return made.model_copy(update={"tracks": left(made.tracks), "further": further})


def _as_json(made: RecommendationList) -> dict[str, object]:
    return made.model_dump(mode="json", exclude={"id", "user_id", "task"})


def _print(console: Console, title: str, made: RecommendationList, limit: int) -> None:
    if made.tracks:
        table = Table(
            Column("", justify="right"),
            Column("track", ratio=3),
            Column("artist", ratio=2),
            Column("score", justify="right"),
            Column("heard before", no_wrap=True),
            Column("source", ratio=2),
            Column("why", ratio=5),
            title=Text(title),
            expand=True,
        )
        for track in made.tracks:
            table.add_row(
                str(track.rank),
                Text(track.name),
                Text(track.artist_name),
                f"{track.score:.2f}",
                _heard_before(track),
                ", ".join(SOURCES[source] for source in track.sources),
                Text(track.reason),
            )
        console.print(table)
    else:
        console.print(Text(f"{title}: nothing."))
    if made.note and len(made.tracks) < limit:
        console.print(Text(made.note))
    if made.tracks:
        test = "`echostats models` shows the tests of the models."
        console.print(Text(f"{made.why} Made on {made.created_at:%Y-%m-%d %H:%M} UTC. {test}"))
    console.print()


def _heard_before(track: RecommendedTrack) -> str:
    if not track.heard_before or track.last_played_at is None:
        return "never"
    times = {1: "once", 2: "twice"}.get(track.heard_before, f"{track.heard_before:,} times")
    return f"{times}, last {track.last_played_at:%Y-%m-%d}"
