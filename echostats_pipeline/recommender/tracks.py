"""The tracks of a list: where each comes from, and its true reason."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property

import numpy as np
from scipy import sparse

from echostats_pipeline.model.catalog import AVERAGED_FEATURES
from echostats_pipeline.model.recommendations import (
    ReasonKind,
    RecommendedTrack,
    Scorer,
    Source,
    SupportingTrack,
    Task,
)
from echostats_pipeline.recommender.listening import Flags, Floats, Numbers
from echostats_pipeline.recommender.scoring import MODELS, POPULARITY_DAYS, Profile, Scores, Shared, Songs

DAYS_A_MONTH = 30.4


@dataclass(frozen=True, eq=False)
class Names:
    """How songs are shown, by their numbers.

    Attributes:
        track_ids: The track that stands for the song.
        names, artist_names, artist_ids, album_names, image_urls: Empty where unknown.
        features: Songs by `AVERAGED_FEATURES` as sources have them; NaN where unknown.
    """

    track_ids: Sequence[str]
    names: Sequence[str]
    artist_names: Sequence[str]
    artist_ids: Sequence[str]
    album_names: Sequence[str]
    image_urls: Sequence[str]
    features: Floats

    def support(self, song: int) -> SupportingTrack:
        """A song as a supporting track."""
        return SupportingTrack(
            spotify_id=self.track_ids[song],
            name=self.names[song],
            artist_name=self.artist_names[song],
            artist_id=self.artist_ids[song],
        )


@dataclass(frozen=True, eq=False)
class Origins:
    """Where songs may come from, for one user; by the numbers of songs.

    Attributes:
        library: Saved by the user, or in a playlist of theirs.
        albums: On albums of artists whom the user plays much.
        similar: On albums of artists whom others play much, and who share them.
        disliked: Marked as disliked by the user.
        preferred: Tagged with a genre that the user has named as a favourite one.
        genres: These genres.
    """

    library: Flags
    albums: Flags
    similar: Flags
    disliked: Flags
    preferred: Flags
    genres: Collection[str] = ()


@dataclass(frozen=True, eq=False)
class Maker:
    """Makes the tracks of one list, and knows everything that their reasons rest on."""

    profile: Profile
    shared: Shared
    songs: Songs
    names: Names
    origins: Origins
    scores: Scores
    task: Task
    now: datetime

    def score(self, served: Scorer, song: int) -> float:
        """The score of a song between 0 and 1, for readers."""
        if served not in self._shown:
            self._shown[served] = self.scores.shown(served)
        return float(self._shown[served][song])

    @cached_property
    def _shown(self) -> dict[Scorer, Floats]:
        return {}

    @cached_property
    def seeds(self) -> Numbers:
        """The songs that say most about the user's taste now."""
        return self.profile.seeds()

    @cached_property
    def similarities(self) -> sparse.csc_array:
        """The seeds by all songs."""
        return self.profile.neighbours.similarities(self.seeds).tocsc()


def made_track(maker: Maker, served: Scorer, place: int, song: int) -> RecommendedTrack:
    """A song as a track of a list that a model or baseline has ordered."""
    profile, names = maker.profile, maker.names
    kind, reason, supporting, genres = _reason(maker, served, song)
    shares = maker.scores.share(served, song)
    days = float(profile.last_days[song])
    compared = bool(maker.scores.by_features[song]) and "content" in shares
    return RecommendedTrack(
        rank=place,
        spotify_id=names.track_ids[song],
        name=names.names[song],
        artist_name=names.artist_names[song],
        artist_id=names.artist_ids[song],
        album_name=names.album_names[song],
        image_url=names.image_urls[song],
        score=round(maker.score(served, song), 4),
        score_shares={name: round(share, 4) for name, share in shares.items()},
        sources=_sources(maker, song),
        heard_before=int(profile.counts[song]),
        last_played_at=maker.now - timedelta(days=days) if np.isfinite(days) else None,
        reason=reason,
        reason_kind=kind,
        supporting=supporting,
        genres=genres,
        audio_features=dict(zip(AVERAGED_FEATURES, names.features[song].tolist(), strict=True)) if compared else {},
    )


def _sources(maker: Maker, song: int) -> list[Source]:
    if maker.task == "rediscover":
        return ["own_history"]
    sources: list[Source] = []
    if maker.profile.others[song] > 0:
        sources.append("other_users")
    if maker.origins.library[song]:
        sources.append("library")
    if maker.origins.albums[song]:
        sources.append("artist_albums")
    if maker.origins.similar[song]:
        sources.append("similar_tags")
    return sources


Reason = tuple[ReasonKind, str, list[SupportingTrack], list[str]]
"""What a reason rests on, the reason, the user's songs that it names, and the genres that it names."""


def _reason(maker: Maker, served: Scorer, song: int) -> Reason:
    """The reason of a track: that of the part of the score that adds most to it."""
    if served == "own_artists":
        plays = times(_plays_of_artist(maker, song))
        return "artist", f"You have heard songs by {maker.names.artist_names[song]} {plays}.", [], []
    if served in MODELS:
        shares = maker.scores.share(served, song)
        if shares.get("basket_knn", 0.0) >= shares.get("content", 0.0):
            return _heard_along(maker, song)
        return _sounds_alike(maker, song)
    genres = _genres_of(maker, song, maker.origins.genres) if maker.origins.preferred[song] else []
    preferred = f" You have named {' and '.join(genres)} as what you like." if genres else ""
    return "baseline", f"{_of_baseline(maker, served, song)}{preferred}", [], genres


def _genres_of(maker: Maker, song: int, among: Collection[str]) -> list[str]:
    """The tags of a song that are among some genres, at most two."""
    content = maker.songs.content
    tags = [content.tag_names[tag] for tag in content.tags[[song]].indices]
    return sorted(tag for tag in tags if tag.casefold() in among)[:2]


def _heard_along(maker: Maker, song: int) -> Reason:
    """The two of the user's songs that add most to the score, and who has heard them along with this one."""
    profile = maker.profile
    seeds = maker.seeds
    similarities = maker.similarities[:, [song]].toarray().reshape(-1)
    added = profile.weights[seeds] * similarities
    order = [int(seeds[at]) for at in np.lexsort((seeds, -added)) if added[at] > 0]
    best = order[:2]
    by_others = [seed for seed in best if profile.heard_by_others(seed, song, maker.shared)]
    named = by_others or best
    titles = " and ".join(f"“{maker.names.names[seed]}”" for seed in named)
    supporting = [maker.names.support(seed) for seed in named]
    if by_others:
        return "collaborative", f"Others here play it along with {titles}, which you play.", supporting, []
    return "own_listening", f"You have played it along with {titles}, which you play now.", supporting, []


def _sounds_alike(maker: Maker, song: int) -> Reason:
    if maker.scores.by_features[song]:
        return "features", f"It sounds like what you play: {sound(maker.names.features[song])}.", [], []
    content, taste = maker.songs.content, maker.profile.taste
    row = content.tags[[song]].toarray().reshape(-1) * (taste.tags if taste.tags is not None else 0.0)
    best = [content.tag_names[tag] for tag in np.lexsort((np.arange(len(row)), -row))[:2] if row[tag] > 0]
    return "tags", f"You play much {' and '.join(best)}.", [], best


def sound(features: Floats) -> str:
    """Energy, mood and tempo in words, with EchoTune's limits."""
    of = dict(zip(AVERAGED_FEATURES, features.tolist(), strict=True))

    def word(name: str, high: float, middle: float, words: Sequence[str]) -> str:
        return words[0] if of[name] >= high else words[1] if of[name] >= middle else words[2]

    return ", ".join(
        (
            word("energy", 0.7, 0.4, ("high energy", "moderate energy", "calm")),
            word("valence", 0.7, 0.4, ("positive", "neutral", "melancholic")),
            word("tempo", 140, 90, ("fast", "moderate tempo", "slow")),
        )
    )


def _of_baseline(maker: Maker, served: Scorer, song: int) -> str:
    """Who has played a song: others here, as far as they have, and the user."""
    profile = maker.profile
    if served == "spotify_popularity" and maker.songs.popularity is not None:
        return f"Its popularity on Spotify is {maker.songs.popularity[song]:.0f} of 100."
    own, others = int(profile.counts[song]), ""
    # A listed song is new to the user, or was not played for half a year: recent plays are those of others.
    if served != "own_most_played" and (plays := int(maker.shared.popularity[song])):
        others = f"Heard {times(plays)} by others here in the last {POPULARITY_DAYS:.0f} days."
    elif served != "own_most_played" and profile.others[song] > 0:
        others = f"Heard by others here, though not in the last {POPULARITY_DAYS:.0f} days."
    months = profile.last_days[song] / DAYS_A_MONTH
    said = f"You have heard it {times(own)}, but not for {months:.0f} months." if own else ""
    return " ".join(filter(None, (others, said)))


def _plays_of_artist(maker: Maker, song: int) -> int:
    return int(maker.profile.counts[maker.songs.artists == maker.songs.artists[song]].sum())


def times(plays: int) -> str:
    """How often, in words."""
    return {1: "once", 2: "twice"}.get(plays, f"{plays:,} times")


def mood_track(maker: Maker, mood: str, likeness: float, place: int, song: int) -> RecommendedTrack:
    """A song as a track of a mood's list. Its score is its likeness; its reason names features that it has."""
    features = maker.names.features[song]
    return made_track(maker, "content", place, song).model_copy(
        update={
            "score": likeness,
            "score_shares": {"mood": 1.0},
            "reason": f"It sounds {mood}: {sound(features)}.",
            "reason_kind": "features",
            "supporting": [],
            "genres": [],
            "audio_features": dict(zip(AVERAGED_FEATURES, features.tolist(), strict=True)),
        }
    )
