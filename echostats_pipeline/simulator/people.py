"""Generates the simulated users: their profiles and listening habits.

Belongs here: profiles, and the probabilities of habits. Not here: the plays that follow from them (``habits``).
"""

from dataclasses import dataclass
from random import Random
from zoneinfo import ZoneInfo

from echostats_pipeline.simulator.names import GENRES, base62_id, invented_name

HOURS_PER_DAY = 24


@dataclass(frozen=True, slots=True)
class Habits:
    """Probabilities of one user's listening.

    Attributes:
        weekday_hours: Chance that a session starts in each local hour, Monday to Friday; 24 numbers.
        weekend_hours: The same for Saturday and Sunday.
        session_tracks: Mean number of items in a session.
        skip_rate: Share of tracks skipped before their end.
        repeat_rate: Share of tracks played twice in a row.
        private_rate: Share of sessions that are private.
        offline_rate: Share of sessions without a connection.
        podcast_rate: Share of sessions that are podcasts.
        album_rate: Share of sessions that are one album in order.
        playlist_rate: Share of sessions that shuffle a playlist.
        liked_rate: Share of sessions that shuffle the liked songs.
        platforms: Devices, the most used one first.
    """

    weekday_hours: tuple[float, ...]
    weekend_hours: tuple[float, ...]
    session_tracks: float
    skip_rate: float
    repeat_rate: float
    private_rate: float
    offline_rate: float
    podcast_rate: float
    album_rate: float
    playlist_rate: float
    liked_rate: float
    platforms: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SimulatedUser:
    """A Spotify account; `product` is premium or free, `timezone` an IANA name, `genres` what the user prefers."""

    id: str
    account_id: str
    display_name: str
    email: str
    country: str
    product: str
    timezone: str
    has_image: bool
    followers: int
    genres: tuple[str, ...]
    habits: Habits

    @property
    def zone(self) -> ZoneInfo:
        """The time zone named by `timezone`."""
        return ZoneInfo(self.timezone)

    @property
    def uri(self) -> str:
        """``spotify:user:<id>``."""
        return f"spotify:user:{self.id}"


def _hours(*spans: tuple[int, int, float]) -> tuple[float, ...]:
    """Return the chance of each hour from spans of (first hour, hour after the last, chance)."""
    chances = [0.004] * HOURS_PER_DAY
    for first, until, chance in spans:
        chances[first:until] = [chance] * (until - first)
    return tuple(chances)


_COMMUTER = Habits(
    weekday_hours=_hours((7, 9, 0.42), (9, 17, 0.10), (17, 19, 0.40), (19, 23, 0.20)),
    weekend_hours=_hours((9, 13, 0.22), (13, 18, 0.18), (18, 24, 0.24)),
    session_tracks=9,
    skip_rate=0.22,
    repeat_rate=0.03,
    private_rate=0.03,
    offline_rate=0.05,
    podcast_rate=0.05,
    album_rate=0.22,
    playlist_rate=0.30,
    liked_rate=0.12,
    platforms=("ios", "windows", "cast"),
)
_NIGHT_OWL = Habits(
    weekday_hours=_hours((0, 2, 0.20), (12, 14, 0.10), (20, 24, 0.30)),
    weekend_hours=_hours((0, 4, 0.25), (15, 24, 0.22)),
    session_tracks=8,
    skip_rate=0.45,
    repeat_rate=0.08,
    private_rate=0.08,
    offline_rate=0.02,
    podcast_rate=0.02,
    album_rate=0.08,
    playlist_rate=0.35,
    liked_rate=0.25,
    platforms=("android", "web_player", "linux"),
)
_EARLY_BIRD = Habits(
    weekday_hours=_hours((5, 8, 0.30), (18, 21, 0.15)),
    weekend_hours=_hours((6, 11, 0.15)),
    session_tracks=9,
    skip_rate=0.10,
    repeat_rate=0.02,
    private_rate=0.01,
    offline_rate=0.15,
    podcast_rate=0.18,
    album_rate=0.40,
    playlist_rate=0.15,
    liked_rate=0.10,
    platforms=("android", "android", "osx"),
)
# country, product, IANA zone, habits; further users repeat the list.
_KINDS = (
    ("DE", "premium", "Europe/Berlin", _COMMUTER),
    ("US", "free", "America/New_York", _NIGHT_OWL),
    ("IN", "premium", "Asia/Kolkata", _EARLY_BIRD),
    ("AU", "premium", "Australia/Sydney", _COMMUTER),
    ("BR", "free", "America/Sao_Paulo", _NIGHT_OWL),
)


def build_users(seed: int, count: int) -> tuple[SimulatedUser, ...]:
    """Generate `count` users; every third user, beginning with the second, has no profile image."""
    return tuple(_user(seed, index) for index in range(count))


def _user(seed: int, index: int) -> SimulatedUser:
    rng = Random(f"{seed}/user/{index}")
    name = invented_name(rng)
    country, product, timezone, habits = _KINDS[index % len(_KINDS)]
    user_id = f"{name.lower().replace(' ', '')}{index}"
    return SimulatedUser(
        id=user_id,
        account_id=base62_id(seed, "account", index)[:10],
        display_name=name,
        email=f"{user_id}@example.org",
        country=country,
        product=product,
        timezone=timezone,
        has_image=index % 3 != 1,
        followers=rng.randint(0, 40),
        genres=tuple(rng.sample(GENRES, k=6)),
        habits=habits,
    )
