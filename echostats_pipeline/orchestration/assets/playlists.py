"""Asset ``generated_playlists``: playlists from words, moods and rules.

The makers of playlists are imported when the asset runs: numpy would cost the code location a quarter of a second.
"""

from collections.abc import Sequence
from datetime import date
from functools import partial
from typing import TYPE_CHECKING, Literal

import dagster as dg
from pydantic import Field

from echostats_pipeline.errors import SpotifyError
from echostats_pipeline.model.playlists import Arc, GeneratedPlaylist
from echostats_pipeline.model.users import User
from echostats_pipeline.orchestration.assets import OWNER
from echostats_pipeline.orchestration.assets.catalog import audio_features, tracks
from echostats_pipeline.orchestration.assets.ingestion import listening_history
from echostats_pipeline.orchestration.assets.library import playlists, saved_tracks
from echostats_pipeline.orchestration.assets.metadata import playlist_overview, row_counts, shown
from echostats_pipeline.orchestration.assets.recommendations import recommendations
from echostats_pipeline.orchestration.assets.schemas import collection_metadata
from echostats_pipeline.orchestration.assets.sources import spotify as spotify_source
from echostats_pipeline.orchestration.partitions import USERS
from echostats_pipeline.orchestration.resources.clock import ClockResource
from echostats_pipeline.orchestration.resources.spotify import SPOTIFY_POOL, SpotifyResource
from echostats_pipeline.orchestration.resources.store import StoreResource
from echostats_pipeline.orchestration.runs import Step, SyncJobsResource

if TYPE_CHECKING:
    from echostats_pipeline.playlists.building import PlaylistBuilder

GROUP = "playlists"


class PlaylistConfig(dg.Config):
    """Run configuration: which playlists to make."""

    kind: Literal["words", "weekly"] = Field(
        default="words", description="`words`: one from the text; `weekly`: the moods and rule playlists of the week."
    )
    text: str = Field(default="", description='Words, like "rainy sunday, calm, no vocals".')
    minutes: float | None = Field(
        default=None, ge=1, le=1440, allow_inf_nan=False, description="Longest duration; 60 unless the words say it."
    )
    songs: int | None = Field(default=None, ge=1, le=500, description="Number of songs, instead of a duration.")
    arc: Literal["", "flat", "rise", "fall", "peak"] = Field(default="", description="How the energy runs.")
    discover: float | None = Field(
        default=None, ge=0, le=1, allow_inf_nan=False, description="Share of songs not heard before, 0 to 1."
    )
    write_to_spotify: bool = Field(
        default=False, description="Whether to write it to Spotify, which needs the consent of `connect --playlists`."
    )


@dg.asset(
    partitions_def=USERS,
    group_name=GROUP,
    kinds={"spotify", "mongodb"},
    owners=[OWNER],
    code_version="1",
    pool=SPOTIFY_POOL,
    backfill_policy=dg.BackfillPolicy.single_run(),
    metadata=collection_metadata("generated_playlists"),
    deps=[spotify_source, listening_history, saved_tracks, playlists, tracks, audio_features, recommendations],
)
def generated_playlists(
    context: dg.AssetExecutionContext,
    config: PlaylistConfig,
    store: StoreResource,
    spotify: SpotifyResource,
    jobs: SyncJobsResource,
    clock: ClockResource,
) -> dg.MaterializeResult:
    """One document per playlist that was made: what was asked, what was understood, the songs and why each is there.

    For readers, in `echostats playlist` and in the mart of Playlist Generator. Made on demand, and once a week for
    every user.
    """
    made = jobs.for_each_user(context, partial(_make, config, store, spotify, clock, context.run.run_id))
    count = sum(map(len, made.values()))
    return shown(context, {**row_counts(store.get(), "generated_playlists", count), **playlist_overview(made)})


def _make(
    config: PlaylistConfig,
    store: StoreResource,
    spotify: SpotifyResource,
    clock: ClockResource,
    run_id: str,
    user: User,
    _: Sequence[date],
    step: Step,
) -> list[GeneratedPlaylist]:
    """Make the playlists of a user. Without a text there is nothing to make, as in a run of all assets."""
    if config.kind == "words" and not config.text.strip():
        step.done(0, "No playlist was made: the run's config has no text")
        return []
    builder = builder_of(store, clock, run_id)
    if config.kind == "words":
        made = [_of_words(config, store, spotify, clock, builder, user)]
    else:
        made = _of_the_week(store, spotify, clock, builder, user)
    report_on(step, made)
    return made


def report_on(step: Step, made: Sequence[GeneratedPlaylist]) -> None:
    """Say in a step what was made."""
    well = sum(each.status == "completed" for each in made)
    step.done(len(made), f"Made {well} playlists" + (f"; {len(made) - well} have no songs" if well < len(made) else ""))


def builder_of(store: StoreResource, clock: ClockResource, run_id: str) -> "PlaylistBuilder":
    """The maker of playlists, which knows what users said in applications."""
    from echostats_pipeline.playlists.building import PlaylistBuilder  # noqa: PLC0415

    if "playlist_generator" not in store.settings.marts:
        return PlaylistBuilder(store.get(), store.settings, clock.now(), run_id=run_id)
    from echostats_pipeline.marts.playlist_generator.build import PlaylistGeneratorMart  # noqa: PLC0415

    mart = PlaylistGeneratorMart(store.get(), store.settings, clock.now(), run_id)
    return PlaylistBuilder(store.get(), store.settings, clock.now(), mart.said, mart.preferences, run_id)


def _of_words(
    config: PlaylistConfig,
    store: StoreResource,
    spotify: SpotifyResource,
    clock: ClockResource,
    builder: "PlaylistBuilder",
    user: User,
) -> GeneratedPlaylist:
    from echostats_pipeline.playlists.building import Request  # noqa: PLC0415
    from echostats_pipeline.playlists.spotify_copies import make_and_write  # noqa: PLC0415

    arc: Arc | None = config.arc or None
    request = Request(
        config.text,
        minutes=config.minutes,
        songs=config.songs,
        arc=arc,
        discover=config.discover,
        over_copy=config.write_to_spotify,
    )

    def make() -> GeneratedPlaylist:
        return builder.from_words(user, request)

    if not config.write_to_spotify:
        return builder.stored(make())
    done = make_and_write(store.get(), spotify.client(user), user, request.generator, make, clock.now())
    if done.failure is not None:
        raise done.failure
    return done.made


def _of_the_week(
    store: StoreResource, spotify: SpotifyResource, clock: ClockResource, builder: "PlaylistBuilder", user: User
) -> list[GeneratedPlaylist]:
    """The six moods and the rule playlists; written to Spotify only if the settings and the user's consent allow it."""
    from echostats_pipeline.playlists.rule_playlists import READY_MADE  # noqa: PLC0415
    from echostats_pipeline.playlists.spotify_copies import (  # noqa: PLC0415
        may_write,
        read_edits,
        write_to_spotify,
    )
    from echostats_pipeline.playlists.vocabulary import MOODS  # noqa: PLC0415

    writes = store.settings.playlists_to_spotify and may_write(store.get(), user)
    failure: SpotifyError | None = None
    if writes:
        try:
            with spotify.client(user) as client:
                for generator in (*(f"mood:{key}" for key in MOODS), *(f"rule:{key}" for key in READY_MADE)):
                    read_edits(store.get(), client, user, generator, clock.now())
        except SpotifyError as error:  # the playlists are made all the same
            failure = error
    made = [builder.stored(builder.of_mood(user, key, over_copy=writes)) for key in MOODS]
    made += [builder.stored(builder.by_rules(user, rules, over_copy=writes)) for rules in READY_MADE.values()]
    if failure is not None:
        raise failure
    if not writes:
        return made
    with spotify.client(user) as client:
        return [
            write_to_spotify(store.get(), client, user, each, clock.now()) if each.tracks else each for each in made
        ]
