"""Makes playlists for users: from words, from moods, and from rules; and stores them."""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from time import perf_counter
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import polars as pl
from bson import ObjectId

from echostats_pipeline.model.base import storable_text
from echostats_pipeline.model.playlists import (
    Arc,
    GeneratedPlaylist,
    PlaylistCandidate,
    PlaylistEdit,
    PlaylistSong,
    SongCounts,
)
from echostats_pipeline.model.users import User
from echostats_pipeline.playlists.candidates import choose
from echostats_pipeline.playlists.feedback import Learned, Said, learn, listening_events
from echostats_pipeline.playlists.flow import flowing_songs, sound_of
from echostats_pipeline.playlists.ordering import distances, smoothness
from echostats_pipeline.playlists.picking import Wanted
from echostats_pipeline.playlists.pool import season_last_year, with_added
from echostats_pipeline.playlists.reading import Pool, read_pool
from echostats_pipeline.playlists.reasons import reason_of, rule_reason_of, source_of
from echostats_pipeline.playlists.rule_playlists import RulePlaylist
from echostats_pipeline.playlists.understanding import understand
from echostats_pipeline.playlists.vocabulary import MOODS, Span
from echostats_pipeline.playlists.words import tokens
from echostats_pipeline.settings import Settings
from echostats_pipeline.storage.store import Store

WORDS = "words"
DEFAULT_MINUTES = 60.0
SONGS_OF_A_MOOD = 50
NOT_REPEATED = timedelta(days=60)
"""A song comes back into playlists of moods after this time."""
REMEMBERED = timedelta(days=365)
"""Feedback in older playlists does not count: after twelve half-lives it weighs nothing."""
LONGEST_NAME = 100
LONGEST_TEXT = 1_000


@dataclass(frozen=True)
class Request:
    """What a playlist is made from. Its text and name are shortened to what can be stored.

    Attributes:
        text: The words.
        generator: What makes it, as `GeneratedPlaylist.generator`.
        minutes: Longest duration; None for what the words say, else `DEFAULT_MINUTES`.
        songs: Most songs; None for what the words say.
        arc: How the energy runs; None for what the words say, else flat.
        discover: Share of songs not heard before; None to let the scores decide.
        name: The name of the playlist; empty for the words.
        query_id: The application's query that asks for it.
        made_id: The id of the playlist; None for a new one.
        left_out: Songs that must not come.
        over_copy: Whether it goes over the playlist at Spotify, where the user may have added songs: they stay.
    """

    text: str
    generator: str = WORDS
    minutes: float | None = None
    songs: int | None = None
    arc: Arc | None = None
    discover: float | None = None
    name: str = ""
    query_id: ObjectId | None = None
    made_id: ObjectId | None = None
    left_out: Collection[str] = ()
    over_copy: bool = False

    def __post_init__(self) -> None:
        """Clean what people write."""
        object.__setattr__(self, "text", storable_text(self.text)[:LONGEST_TEXT])
        name = " ".join(storable_text(self.name or self.text).split())[:LONGEST_NAME].strip()
        object.__setattr__(self, "name", (name[:1].upper() + name[1:]) or "Playlist")


class PlaylistBuilder:
    """Makes playlists. The songs of a user are read once."""

    def __init__(
        self,
        store: Store,
        settings: Settings,
        now: datetime,
        said: Callable[[User], Said] = lambda _: Said(),
        preferences: Callable[[User], Mapping[str, Span]] = lambda _: {},
        run_id: str = "",
    ) -> None:
        """Args: database, how to count, the instant, what users said and prefer in applications, the Dagster run."""
        self._store = store
        self._settings = settings
        self._now = now
        self._said = said
        self._preferences = preferences
        self._run_id = run_id
        self._pools: dict[str, Pool] = {}

    def from_words(self, user: User, request: Request) -> GeneratedPlaylist:
        """Make a playlist from words, storing nothing."""
        begun = perf_counter()
        learned = self._learned(user, request.generator)
        pool = self.pool(user, learned)
        edits = self._edits(user, request.generator, request.text)
        added = edits.added if request.over_copy else {}
        asked = understand(request.text, pool.names, self._preferences(user), self._now.year)
        made = self.begun(user, request)
        songs = request.songs or asked.songs
        minutes = request.minutes or asked.minutes or (None if songs else DEFAULT_MINUTES)
        arc = request.arc or asked.arc or "flat"
        wanted = Wanted(
            arc=arc,
            minutes=minutes,
            songs=songs,
            discover=asked.new_share if request.discover is None else request.discover,
            left_out={*request.left_out, *edits.left_out(learned)},
            feedback=learned.weights,
            pinned=added.keys(),
        )
        chosen = choose(with_added(pool.songs, added.values()), asked, wanted, self._now)
        ordered = flowing_songs(chosen, wanted)
        made.understanding, made.arc, made.minutes, made.most_songs = asked, arc, minutes, songs
        made.discover = wanted.discover
        made.counts, made.widened, made.note = chosen.counts, list(chosen.widened), chosen.note
        made.tracks = [
            _song(place, row, reason_of(row, asked)) for place, row in enumerate(ordered.iter_rows(named=True), 1)
        ]
        made.candidates = [
            PlaylistCandidate(spotify_id=row["track_id"], score=_score(row["score"]), reasons=[reason_of(row, asked)])
            for row in chosen.candidates.iter_rows(named=True)
        ]
        made.smoothness = _smoothness(ordered)
        return self._ended(made, begun)

    def of_mood(self, user: User, key: str, *, over_copy: bool = False) -> GeneratedPlaylist:
        """Make the week's playlist of a mood, storing nothing.

        Nothing in it was in the playlist of any mood in the last 60 days. If too few songs would fit, nothing in it was
        in the playlist of this mood. Playlists that were replaced in their week do not count.
        """
        generator, zone = f"mood:{key}", ZoneInfo(user.timezone)
        last: dict[tuple[str, date], set[str]] = {}
        for made_by, at, tracks in self._store.playlists.mood_tracks(user.user_id, self._now - NOT_REPEATED):
            last[made_by, _monday(at, zone)] = tracks
        last.pop((generator, _monday(self._now, zone)), None)
        own = set().union(*(tracks for (made_by, _), tracks in last.items() if made_by == generator))
        request = Request(
            key,
            generator,
            songs=SONGS_OF_A_MOOD,
            name=MOODS[key].label,
            left_out=own.union(*last.values()),
            over_copy=over_copy,
        )
        made = self.from_words(user, request)
        return self.from_words(user, replace(request, left_out=own)) if made.widened or made.note else made

    def by_rules(self, user: User, rules: RulePlaylist, *, over_copy: bool = False) -> GeneratedPlaylist:
        """Make a rule playlist, storing nothing. What the user has added at Spotify comes last if no rule fits it."""
        begun = perf_counter()
        generator = f"rule:{rules.key}"
        learned = self._learned(user, generator)
        edits = self._edits(user, generator)
        added = edits.added if over_copy else {}
        pool = with_added(self.pool(user, learned).songs, added.values())
        pool = pool.with_columns(pinned=pl.col("track_id").is_in(list(added)))
        fitting = rules.songs(
            pool.filter(~pl.col("track_id").is_in(list(edits.left_out(learned)))), self._now, ZoneInfo(user.timezone)
        )
        more = pool.filter(pl.col("pinned")).join(fitting, on="track_id", how="anti")
        found = pl.concat([fitting.head(max(rules.limit() - more.height, 0)), more])
        made = self.begun(user, Request(rules.comment or rules.name, generator, name=rules.name))
        made.most_songs = rules.limit()
        made.counts = SongCounts(
            songs=pool.height,
            with_features=int(pool["has_features"].sum()),
            without_features=int((~pool["has_features"]).sum()),
            fitting=fitting.height,
            after_widening=fitting.height,
        )
        fields, season = rules.fields(), season_last_year(self._now.astimezone(ZoneInfo(user.timezone)).date())
        made.note = "" if found.height else f"None of {pool.height:,} songs fits the rules."
        made.tracks = [
            _song(place, {**row, "score": 0.0, "in_ranges": True}, rule_reason_of(row, fields, season))
            for place, row in enumerate(found.iter_rows(named=True), 1)
        ]
        made.smoothness = _smoothness(found)
        return self._ended(made, begun)

    def stored(self, made: GeneratedPlaylist) -> GeneratedPlaylist:
        """Store a playlist."""
        return self._store.playlists.put(made)

    def failed(self, user: User, request: Request, error: str) -> GeneratedPlaylist:
        """Store that a playlist could not be made, and why."""
        made = self.begun(user, request)
        made.status, made.error = "failed", error
        return self._store.playlists.put(made)

    def pool(self, user: User, learned: Learned | None = None) -> Pool:
        """The songs for a user's playlists."""
        if user.user_id not in self._pools:
            missed = (learned or self._learned(user, WORDS)).missed
            self._pools[user.user_id] = read_pool(self._store, user, self._settings, self._now, missed)
        return self._pools[user.user_id]

    def _learned(self, user: User, generator: str) -> Learned:
        since = self._now - REMEMBERED
        playlists = self._store.playlists.of(user.user_id, since, with_candidates=False)
        copies = {made.spotify_id for made in playlists if made.spotify_id}
        uris = {f"spotify:playlist:{each}" for each in copies}
        plays = self._store.playlists.plays_within(user.user_id, uris) if uris else []
        events = listening_events(playlists, plays)
        generators = {made.id: made.generator for made in playlists if made.id is not None}
        edits = self._store.playlists.edits(user.user_id)
        return learn(events, edits, generators, self._said(user), generator, self._now)

    def _edits(self, user: User, generator: str, text: str = "") -> "_Edits":
        """What a user has changed in the playlist at Spotify: in that of words, only where it was made of the same."""
        edits = self._store.playlists.edits(user.user_id)
        if generator == WORDS:
            same = [each for each in edits if each.generator == WORDS and tokens(each.text) == tokens(text)]
            last = {each.spotify_id: each.event for each in same}
            kept = {each for each, event in last.items() if event == "add_to_playlist"}
            return _Edits.of(edits, kept, last.keys() - kept)
        copy = self._store.playlists.spotify_copy(user.user_id, generator)
        return _Edits.of(edits, () if copy is None else copy.kept_in, () if copy is None else copy.kept_out)

    def begun(self, user: User, request: Request) -> GeneratedPlaylist:
        """A playlist that is asked for and has no songs yet."""
        return GeneratedPlaylist(
            id=request.made_id,
            user_id=user.user_id,
            generator=request.generator,
            text=request.text,
            name=request.name,
            query_id=request.query_id,
            status="processing",
            discover=request.discover,
            created_at=self._now,
            dagster_run_id=self._run_id,
        )

    def _ended(self, made: GeneratedPlaylist, begun: float) -> GeneratedPlaylist:
        made.status = "completed" if made.tracks else "failed"
        made.error = "" if made.tracks else made.note or "No song fits."
        made.took_ms = round((perf_counter() - begun) * 1000)
        return made


@dataclass(frozen=True)
class _Edits:
    """What a user wants in a playlist at Spotify, and what not.

    Attributes:
        added: Tracks that stay, by id, as `pool.with_added` takes them.
        removed: Ids of tracks that must not come back.
    """

    added: Mapping[str, Mapping[str, Any]]
    removed: Collection[str]

    @classmethod
    def of(cls, edits: Iterable[PlaylistEdit], kept: Iterable[str], removed: Collection[str]) -> "_Edits":
        names = ("name", "artist_name", "album_name", "duration_ms")
        known = {each.spotify_id: {name: getattr(each, name) for name in names} for each in edits if each.name}
        nameless = {"name": "", "artist_name": "", "album_name": "", "duration_ms": 0}
        return cls({each: {"track_id": each, **known.get(each, nameless)} for each in sorted(kept)}, removed)

    def left_out(self, learned: Learned) -> set[str]:
        """Tracks that must not come."""
        return {*self.removed, *learned.left_out} - self.added.keys()


def _monday(at: datetime, zone: ZoneInfo) -> date:
    """The Monday with which the local week of an instant begins."""
    day = at.astimezone(zone).date()
    return day - timedelta(days=day.weekday())


def _score(value: float) -> float:
    return round(max(value, 0.0), 4)


def _song(place: int, row: Mapping[str, object], reason: str) -> PlaylistSong:
    def number(name: str) -> float | None:
        value = row[name]
        return round(float(value), 4) if isinstance(value, int | float) else None

    return PlaylistSong(
        position=place,
        spotify_id=str(row["track_id"]),
        name=str(row["name"]),
        artist_name=str(row["artist_name"]),
        album_name=str(row["album_name"]),
        duration_ms=int(str(row["duration_ms"])),
        score=_score(number("score") or 0.0),
        source=source_of(row),
        reason=reason,
        energy=number("energy"),
        brightness=number("brightness"),
        tempo=number("tempo"),
        is_new=row["plays"] == 0 and row["skips"] == 0,
        in_ranges=bool(row["in_ranges"]),
    )


def _smoothness(songs: pl.DataFrame) -> float | None:
    if songs.height < 2:  # noqa: PLR2004
        return None
    return round(smoothness(np.arange(songs.height), distances(sound_of(songs))), 4)
