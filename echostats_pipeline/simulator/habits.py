"""Generates the plays of a user on a UTC day from the user's habits, taste and library.

A day is generated from ``Random(f"{seed}/{user}/{day}")`` alone, and no play crosses UTC midnight. So the plays of a
window do not depend on the window, and plays never overlap. Belongs here: sessions and single plays. Not here: windows
over many days (``world``), and the plays that Spotify shows (``World.recently_played``, ``exports``).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from random import Random
from typing import Literal

from echostats_pipeline.simulator.catalogue import Catalogue, Episode, Track
from echostats_pipeline.simulator.dice import happens, weighted
from echostats_pipeline.simulator.library import Library, LocalFile
from echostats_pipeline.simulator.people import HOURS_PER_DAY, SimulatedUser
from echostats_pipeline.simulator.taste import Taste

ContextType = Literal["album", "artist", "playlist", "collection", "show"]
Item = Track | Episode | LocalFile

_HOUR_MS = 3_600_000
_SATURDAY = 5
_DAY_OFF = 0.03
_LOCAL_FILE_RATE = 0.02
_PAUSE_RATE = 0.02
_LEFT_RATE = 0.4  # a session often ends in the middle of a track
_INSTANT_SKIP_RATE = 0.06
_BACK_RATE = 0.06
_ERROR_RATE = 0.004
_ARTIST_CONTEXT_RATE = 0.3
_ENDINGS = (("endplay", 80), ("logout", 12), ("unexpected-exit", 5), ("unexpected-exit-while-paused", 3))
_STARTINGS = (("clickrow", 60), ("playbtn", 20), ("appload", 15), ("remote", 5))


@dataclass(frozen=True, slots=True)
class Context:
    """The place from which an item was played: an artist, an album, a playlist or the liked songs."""

    type: ContextType
    uri: str


@dataclass(frozen=True, slots=True)
class SimulatedPlay:
    """One play as it truly happened.

    Attributes:
        item: The played track, episode or local file.
        session_started_at: Start of the session; all plays of a session have the same value.
        started_at: Start of the play.
        played_at: End of the play, including pauses: at least `started_at` plus `ms_played`. Millisecond precision.
        ms_played: Time with sound, in milliseconds.
        reason_start, reason_end: Reasons as written in the extended export.
    """

    user_id: str
    item: Item
    session_started_at: datetime
    started_at: datetime
    played_at: datetime
    ms_played: int
    reason_start: str
    reason_end: str
    skipped: bool
    shuffle: bool
    context: Context | None
    private: bool
    offline: bool
    platform: str

    @property
    def track(self) -> Track | None:
        """The track of the catalogue, None for episodes and local files."""
        return self.item if isinstance(self.item, Track) else None


@dataclass(frozen=True, slots=True)
class _Session:
    items: Sequence[Item]
    context: Context | None
    shuffle: bool


@dataclass(frozen=True, slots=True)
class _Ending:
    """The end of a single play: after `ms_played` with sound, `paused_ms` without sound."""

    ms_played: int
    paused_ms: int
    reason: str
    skipped: bool = False


class Listener:
    """Generates the days of one user."""

    def __init__(self, seed: int, user: SimulatedUser, catalogue: Catalogue, library: Library) -> None:
        self._key = f"{seed}/{user.id}"
        self._user = user
        self._catalogue = catalogue
        self._library = library
        self._taste = Taste(seed, user, catalogue)

    def day_plays(self, day: date) -> tuple[SimulatedPlay, ...]:
        """All plays that start, and therefore end, on the UTC date `day`, in order."""
        rng = Random(f"{self._key}/{day}")
        if happens(rng, _DAY_OFF):
            return ()
        midnight = datetime(day.year, day.month, day.day, tzinfo=UTC)
        plays: list[SimulatedPlay] = []
        free_from = midnight
        for hour in range(HOURS_PER_DAY):
            local = (midnight + timedelta(hours=hour)).astimezone(self._user.zone)
            habits = self._user.habits
            chances = habits.weekend_hours if local.weekday() >= _SATURDAY else habits.weekday_hours
            starts_at = midnight + timedelta(milliseconds=hour * _HOUR_MS + rng.randrange(_HOUR_MS))
            if happens(rng, chances[local.hour]) and starts_at >= free_from:
                plays.extend(self._session_plays(rng, starts_at, midnight + timedelta(days=1)))
                free_from = plays[-1].played_at if plays else free_from
        return tuple(plays)

    def _session_plays(self, rng: Random, starts_at: datetime, midnight: datetime) -> Iterator[SimulatedPlay]:
        habits = self._user.habits
        session = self._session(rng, starts_at)
        private = happens(rng, habits.private_rate)
        offline = happens(rng, habits.offline_rate)
        platform = rng.choices(habits.platforms, range(len(habits.platforms), 0, -1))[0]
        started_at, reason_start = starts_at, weighted(rng, _STARTINGS)
        for number, item in enumerate(session.items, start=1):
            ending = self._ending(rng, item, is_last=number == len(session.items))
            played_at = started_at + timedelta(milliseconds=ending.ms_played + ending.paused_ms)
            if played_at >= midnight:
                return
            yield SimulatedPlay(
                user_id=self._user.id,
                item=item,
                session_started_at=starts_at,
                started_at=started_at,
                played_at=played_at,
                ms_played=ending.ms_played,
                reason_start=reason_start,
                reason_end=ending.reason,
                skipped=ending.skipped,
                shuffle=session.shuffle,
                context=session.context,
                private=private,
                offline=offline,
                platform=platform,
            )
            started_at = played_at + timedelta(milliseconds=rng.randint(0, 1500))
            reason_start = ending.reason if ending.reason in {"trackdone", "fwdbtn", "backbtn"} else "clickrow"

    def _session(self, rng: Random, starts_at: datetime) -> _Session:
        habits = self._user.habits
        count = max(1, round(rng.gammavariate(2, habits.session_tracks / 2)))
        rates = (habits.podcast_rate, habits.album_rate, habits.playlist_rate, habits.liked_rate)
        kind = rng.choices(("podcast", "album", "playlist", "liked", "mix"), (*rates, 1 - sum(rates)))[0]
        pool = self._taste.pool(starts_at.date())
        match kind:
            case "podcast":
                episode = rng.choice(self._catalogue.episodes)
                return _Session([episode], Context("show", f"spotify:show:{episode.show_id}"), shuffle=False)
            case "album":
                album = pool.draw(rng, 1)[0].album
                return _Session(self._catalogue.album_tracks[album.id], Context("album", album.uri), shuffle=False)
            case "playlist":
                playlist = rng.choice([listed for listed in self._library.playlists if listed.rows_at(starts_at)])
                items = [row.item for row in playlist.rows_at(starts_at) if row.item is not None]
                chosen = rng.sample(items, k=min(count, len(items)))
                return _Session(chosen, Context("playlist", playlist.uri), shuffle=True)
            case "liked":
                saved = self._library.saved_at(starts_at)
                liked = [row.track for row in rng.sample(saved, k=min(count, len(saved)))]
                return _Session(liked, Context("collection", f"{self._user.uri}:collection"), shuffle=True)
        mix = list(self._mix(rng, pool.draw(rng, count)))
        by_artist = happens(rng, _ARTIST_CONTEXT_RATE)
        context = Context("artist", mix[0].artists[0].uri) if by_artist and isinstance(mix[0], Track) else None
        return _Session(mix, context, shuffle=happens(rng, 0.5))

    def _mix(self, rng: Random, tracks: Sequence[Track]) -> Iterator[Item]:
        for track in tracks:
            yield rng.choice(self._library.local_files) if happens(rng, _LOCAL_FILE_RATE) else track
            if happens(rng, self._user.habits.repeat_rate):
                yield track

    def _ending(self, rng: Random, item: Item, *, is_last: bool) -> _Ending:
        paused_ms = rng.randint(5_000, 600_000) if happens(rng, _PAUSE_RATE) else 0
        if isinstance(item, Episode) or (is_last and happens(rng, _LEFT_RATE)):
            return _Ending(int(item.duration_ms * rng.betavariate(2, 1)), paused_ms, weighted(rng, _ENDINGS))
        if happens(rng, self._user.habits.skip_rate):
            part = 0 if happens(rng, _INSTANT_SKIP_RATE) else int(item.duration_ms * rng.betavariate(0.6, 3))
            return _Ending(part, 0, "backbtn" if happens(rng, _BACK_RATE) else "fwdbtn", skipped=True)
        if happens(rng, _ERROR_RATE):
            return _Ending(rng.randint(0, 900), 0, "trackerror")
        return _Ending(item.duration_ms, paused_ms, "trackdone")
