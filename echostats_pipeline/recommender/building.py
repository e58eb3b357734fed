"""What each asset of the recommender does: neighbours of songs, tastes, lists, and what came of last week's lists."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cached_property

import numpy as np
import polars as pl

from echostats_pipeline.model.catalog import AVERAGED_FEATURES, ArtistRef
from echostats_pipeline.model.recommendations import (
    ArtistAlbums,
    RecommendationList,
    RecommendationWeek,
    TagWeight,
    Task,
    TasteVector,
)
from echostats_pipeline.model.users import User
from echostats_pipeline.recommender.albums import loved_artists
from echostats_pipeline.recommender.listening import Flags
from echostats_pipeline.recommender.lists import MadeList, Verdict, recommend
from echostats_pipeline.recommender.models import TASKS, verdict_in_force
from echostats_pipeline.recommender.reading import Known, known_songs, read_sessions, shared_plays, shared_tracks
from echostats_pipeline.recommender.scoring import (
    REMEMBERED,
    Profile,
    Shared,
    seeds_of,
    taste_weights,
)
from echostats_pipeline.recommender.tracks import Origins
from echostats_pipeline.settings import Settings
from echostats_pipeline.storage.database import Document
from echostats_pipeline.storage.store import Store
from echostats_pipeline.transforms.rule_checks import is_same_artist
from echostats_pipeline.transforms.statistics.exclusions import counted_as_one, exclusions

STRONGEST_TAGS = 20
WEEK = timedelta(days=7)


@dataclass(frozen=True)
class Feedback:
    """What a user has said in an application: ids of liked and disliked tracks, and favourite genres."""

    liked: Collection[str] = ()
    disliked: Collection[str] = ()
    genres: Collection[str] = ()


@dataclass(frozen=True)
class BuiltNeighbours:
    """The result of `build_neighbours`: users who share, songs they have played, pairs of neighbours, plays read."""

    users: int
    songs: int
    pairs: int
    plays: int


def build_neighbours(store: Store, settings: Settings, now: datetime) -> BuiltNeighbours:
    """Compute the neighbours and the popularity of all songs that users who share their plays have played lately."""
    users = [user for user in store.users.all() if user.shares]
    played = [(user, read_sessions(store, user, settings.min_play_ms, now - REMEMBERED)) for user in users]
    known = known_songs(store, played, same_recording=settings.same_recording)
    shared = Shared.of(known.listening, now)
    songs = store.recommendations.replace_neighbours(_documents(known, shared, now), now)
    return BuiltNeighbours(len(users), songs, int(shared.neighbours.weights.nnz), known.listening.heard.height)


def _documents(known: Known, shared: Shared, now: datetime) -> Iterator[Document]:
    """The documents of `ItemNeighbours`, as plain dicts: there may be millions of neighbours."""
    items, names, found = known.listening.items, known.catalogue.names, shared.neighbours
    weights, listeners = found.weights.copy(), found.listeners.copy()
    similarities = found.similarities(np.arange(known.listening.size))
    for each in (weights, listeners, similarities):
        each.sort_indices()  # now all three hold the same pairs in the same order
    for song in np.flatnonzero(shared.listeners).tolist():
        cells = slice(weights.indptr[song], weights.indptr[song + 1])
        columns = weights.indices[cells]
        order = np.lexsort((columns, -similarities.data[cells]))
        rows = zip(
            columns[order].tolist(),
            similarities.data[cells][order].tolist(),
            weights.data[cells][order].tolist(),
            listeners.data[cells][order].tolist(),
            strict=True,
        )
        yield {
            "spotify_id": items[song],
            "name": names.names[song],
            "artist_name": names.artist_names[song],
            "listeners": int(shared.listeners[song]),
            "plays_28_days": float(shared.popularity[song]),
            "recent_plays": float(shared.recent_popularity[song]),
            "weight": float(found.totals[song]),
            "neighbours": [
                {"spotify_id": items[other], "similarity": round(value, 6), "weight": weight, "listeners": int(users)}
                for other, value, weight, users in rows
            ],
            "computed_at": now,
        }


@dataclass(frozen=True)
class BuiltLists:
    """The lists of a user, by kind, and the weeks whose hits were counted."""

    lists: Mapping[Task, RecommendationList]
    weeks: list[RecommendationWeek] = field(default_factory=list)


class Recommender:
    """Makes the lists of users. What all users share is read once, when it is first needed."""

    def __init__(
        self,
        store: Store,
        settings: Settings,
        now: datetime,
        feedback: Callable[[User], Feedback] = lambda _: Feedback(),
    ) -> None:
        """Args: the database, how plays and songs are counted, the instant, what users said in applications."""
        self._store = store
        self._settings = settings
        self._now = now
        self._feedback = feedback

    @cached_property
    def _shared_songs(self) -> pl.DataFrame:
        return self._store.recommendations.shared_songs()

    @cached_property
    def _shared_tracks(self) -> pl.DataFrame:
        return shared_tracks(self._store, self._shared_songs)

    @cached_property
    def _verdicts(self) -> dict[Task, Verdict]:
        return {task: verdict_in_force(self._store, task) for task in TASKS}

    def rebuild_lists(self, user: User) -> BuiltLists:
        """Make and store the lists of a user, and count what the user played of earlier ones."""
        known = self.known(user)
        weeks = self._count_weeks(user, known)
        made = self.lists(user, known)
        for each in made.values():
            self._store.recommendations.put_list(each.shown)
            self._begin_week(user, each)
        return BuiltLists({task: each.shown for task, each in made.items()}, weeks)

    def lists(self, user: User, known: Known) -> dict[Task, MadeList]:
        """Make the lists of a user, storing nothing."""
        feedback = self._feedback(user)
        songs, names = known.catalogue.songs, known.catalogue.names
        genres = frozenset(genre.casefold() for genre in feedback.genres)
        profile, shared = self._profile(known, feedback)
        loved = loved_artists(self._store, user)
        albums = self._store.recommendations.albums(loved, shared=True)
        own = [each for each in albums if each.artist_id in loved]
        others = [each for each in albums if each.artist_id not in loved]
        origins = Origins(
            library=known.flags(self._store.recommendations.library(user.user_id)["track_id"].to_list()),
            albums=known.flags(_tracks_of(own)),
            similar=known.flags(_tracks_of(others)),
            disliked=known.flags(feedback.disliked) | self._left_out_artists(user, known),
            preferred=songs.content.has_any(genres),
            genres=genres,
        )
        return {
            task: recommend(user.user_id, profile, shared, songs, names, origins, task, self._verdicts[task], self._now)
            for task in TASKS
        }

    def _left_out_artists(self, user: User, known: Known) -> Flags:
        """The songs of artists whom a rule of the user leaves out, whenever and from whatever they are played."""
        rules, names = self._store.rules.of(user.user_id), known.catalogue.names
        conditions = [rule.exclusion for rule in exclusions(rules)]
        wholly = [each for each in conditions if each.model_dump(exclude_defaults=True).keys() == {"artist"}]
        meant = [one for each in wholly if each.artist is not None for one in counted_as_one(each.artist, rules)]
        if not meant:
            return np.zeros(known.listening.size, dtype=bool)
        artists = (
            ArtistRef(spotify_id=spotify_id, name=name)
            for spotify_id, name in zip(names.artist_ids, names.artist_names, strict=True)
        )
        return np.array([any(is_same_artist(one, each) for one in meant) for each in artists], dtype=bool)

    def rebuild_taste(self, user: User) -> TasteVector:
        """Compute and store how the songs that a user plays sound."""
        known = self.known(user)
        profile, _ = self._profile(known, self._feedback(user))
        content, taste = known.catalogue.songs.content, profile.taste
        weights = profile.weights * content.has_features
        raw = np.nan_to_num(known.catalogue.names.features)
        mean = weights @ raw / weights.sum() if weights.sum() > 0 else None
        of_tags = taste.tags if taste.tags is not None else np.zeros(0)
        strongest = np.lexsort((np.arange(len(of_tags)), -of_tags))[:STRONGEST_TAGS]
        vector = TasteVector(
            user_id=user.user_id,
            audio_features={} if mean is None else _named_values(mean),
            scaled_features={} if taste.features is None else _named_values(taste.features),
            features_share=round(taste.features_share, 4),
            tags=[
                TagWeight(tag=content.tag_names[tag], weight=round(float(of_tags[tag]), 4))
                for tag in strongest
                if of_tags[tag] > 0
            ],
            tags_share=round(taste.tags_share, 4),
            songs=int((profile.weights > 0).sum()),
            plays=profile.plays,
            computed_at=self._now,
        )
        self._store.recommendations.put_taste(vector)
        return vector

    def known(self, user: User) -> Known:
        """The plays of a user with all songs that may be recommended to them."""
        played = read_sessions(self._store, user, self._settings.min_play_ms)
        albums = self._store.recommendations.albums(loved_artists(self._store, user), shared=True)
        return known_songs(
            self._store,
            [(user, played)],
            also=self._shared_tracks,
            albums=albums,
            with_library=True,
            same_recording=self._settings.same_recording,
            rules=self._store.rules.of(user.user_id),
        )

    def _profile(self, known: Known, feedback: Feedback) -> tuple[Profile, Shared]:
        liked, disliked = known.flags(feedback.liked), known.flags(feedback.disliked)
        seeds = seeds_of(taste_weights(known.listening, self._now, liked, disliked))
        shared = shared_plays(self._store, known, seeds, self._shared_songs)
        profile = Profile.of(
            known.listening, 0, shared, known.catalogue.songs, self._now, liked=liked, disliked=disliked
        )
        return profile, shared

    def _begin_week(self, user: User, made: MadeList) -> None:
        """Keep the first list of each week, and the one that was not shown."""
        if not made.shown.tracks:
            return
        shown = [track.spotify_id for track in made.shown.tracks]
        year, week, _ = self._now.isocalendar()
        self._store.recommendations.begin_week(
            RecommendationWeek(
                user_id=user.user_id,
                task=made.shown.task,
                week=f"{year}-W{week:02d}",
                shown_at=self._now,
                model=made.shown.model,
                control=made.control,
                shown_ids=shown,
                control_ids=list(made.control_ids),
                in_both=len(set(shown) & set(made.control_ids)),
            )
        )

    def _count_weeks(self, user: User, known: Known) -> list[RecommendationWeek]:
        counted = []
        for week in self._store.recommendations.weeks_to_count(user.user_id, self._now - WEEK):
            heard = known.listening.since(week.shown_at).before(week.shown_at + WEEK).counts() > 0
            hits = {
                name: sum(bool(heard[known.numbers[each]]) for each in ids if each in known.numbers)
                for name, ids in (("hits", week.shown_ids), ("control_hits", week.control_ids))
            }
            done = week.model_copy(update={**hits, "counted_at": self._now})
            self._store.recommendations.count_week(done)
            counted.append(done)
        return counted


def _tracks_of(albums: Iterable[ArtistAlbums]) -> Iterator[str]:
    return (track.spotify_id for each in albums for album in each.albums for track in album.tracks)


def _named_values(values: np.ndarray[tuple[int], np.dtype[np.float64]]) -> dict[str, float]:
    return {name: round(float(value), 4) for name, value in zip(AVERAGED_FEATURES, values, strict=True)}
