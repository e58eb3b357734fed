"""Genres of artists from all sources: ``artist_tags`` and ``genre_lists``, and the genres in ``artists``."""

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from pymongo import UpdateOne

from echostats_pipeline.model.catalog import Artist, ArtistTag, ArtistTags, GenreList
from echostats_pipeline.storage.catalog import ASK_AGAIN_AFTER, CHANGED, NOT_ON_SPOTIFY, STALE_AFTER, CatalogStore
from echostats_pipeline.storage.database import Db, Document
from echostats_pipeline.transforms.genre_queue import (
    SPOTIFY,
    ArtistGenres,
    Expiry,
    TagAnswer,
    chosen,
    is_settled,
    next_due,
    open_artists,
)
from echostats_pipeline.transforms.genres import MOST_GENRES

EXPIRY = Expiry(negative=ASK_AGAIN_AFTER, positive=STALE_AFTER)


class ArtistTagStore:
    """The answers of the sources of genres, and which artists they are still to be asked about."""

    def __init__(self, db: Db, catalog: CatalogStore) -> None:
        self._db = db
        self._catalog = catalog

    def wanting(self, source: str, order: Sequence[str], now: datetime) -> dict[str, str]:
        """MusicBrainz ids, empty if unknown, of the artists to ask a source about, by Spotify id, most played first."""
        found = {each.spotify_id: each for each in open_artists(self._artists(), source, order, now, EXPIRY)}
        return {spotify_id: _mbid(found[spotify_id]) for spotify_id in self._catalog.most_played_artists(found)}

    def lacking(self, order: Sequence[str], now: datetime) -> dict[str, int]:
        """How many artists each source is still to be asked about; sources without any are left out."""
        return _lacking(list(self._artists()), order, now) if set(order) - {SPOTIFY} else {}

    def next_due(self, sources: Sequence[str], order: Sequence[str]) -> datetime | None:
        """When one of the sources is to be asked about an artist; None if never. Reads all artists."""
        return next_due(self._artists(), sources, order, EXPIRY)

    def version(self) -> list[Any]:
        """Changes whenever an artist comes or changes, or a source answers about another artist. It costs nothing."""
        newest = self._db["artists"].find_one({}, {"_id": 0, "changed_at": 1}, sort=[("changed_at", -1)]) or {}
        counts = [self._db[name].estimated_document_count() for name in ("artists", "artist_tags")]
        return [*counts, str(newest.get("changed_at"))]

    def progress(self, order: Sequence[str], now: datetime) -> tuple[int, int, dict[str, int]]:
        """The artists whose genres are known or unknown to all sources, all artists, and what `lacking` returns."""
        artists = list(self._artists())
        known = sum(is_settled(each, order, now, EXPIRY) for each in artists)
        return known, len(artists), _lacking(artists, order, now)

    def put_mbids(self, mbids: Mapping[str, str]) -> None:
        """Store MusicBrainz ids by Spotify id, before the genres are read."""
        operations = [
            _upsert(ArtistTags(spotify_id=spotify_id, source="musicbrainz"), {"mbid": mbid})
            for spotify_id, mbid in mbids.items()
        ]
        if operations:
            self._db["artist_tags"].bulk_write(operations, ordered=False)

    def put(self, answers: Iterable[ArtistTags]) -> None:
        """Store answers. An answer without genres does not replace one with genres; it only counts as read now."""
        operations = []
        for answer in answers:
            known = answer.to_bson()
            if not answer.tags:
                known.pop("tags")
            if not answer.mbid:
                known.pop("mbid")
            operations.append(_upsert(answer, known))
        if operations:
            self._db["artist_tags"].bulk_write(operations, ordered=False)

    def names(self, spotify_ids: Collection[str]) -> dict[str, str]:
        """Names of artists by id. Names that several artists have are left out: they do not say who is meant."""
        named = {
            artist["spotify_id"]: artist["name"]
            for artist in self._db["artists"].find(
                {"spotify_id": {"$in": list(spotify_ids)}}, {"spotify_id": 1, "name": 1}
            )
        }
        same: list[Any] = [
            {"$match": {"name": {"$in": sorted(set(named.values()))}}},
            {"$group": {"_id": "$name", "artists": {"$sum": 1}}},
            {"$match": {"artists": {"$gt": 1}}},
        ]
        shared = {row["_id"] for row in self._db["artists"].aggregate(same)} | {""}
        return {spotify_id: name for spotify_id, name in named.items() if name not in shared}

    def settle(self, order: Sequence[str], spotify_ids: Collection[str] | None = None) -> list[str]:
        """Give artists the genres of the first source that has any, and their tracks likewise.

        Spotify's own genres are kept as an answer when another source comes first.

        Args:
            order: The sources in the order of the settings.
            spotify_ids: The artists; None means all.

        Returns:
            The ids of the artists that have other genres now.
        """
        changed: list[Artist] = []
        kept: list[ArtistTags] = []
        for artist in self._artists(spotify_ids):
            source, genres = chosen(artist, order)
            if (source, genres) == (artist.source, artist.genres):
                continue
            changed.append(Artist(spotify_id=artist.spotify_id, name="", genres=list(genres), genres_source=source))
            if artist.source == SPOTIFY and artist.genres and source != SPOTIFY:
                tags = [ArtistTag(name=genre, weight=1.0) for genre in artist.genres]
                kept.append(ArtistTags(spotify_id=artist.spotify_id, source=SPOTIFY, tags=tags))
        self.put(kept)
        if changed:
            operations = [
                UpdateOne(
                    {"spotify_id": each.spotify_id},
                    {"$set": {"genres": each.genres, "genres_source": each.genres_source}, **CHANGED},
                )
                for each in changed
            ]
            self._db["artists"].bulk_write(operations, ordered=False)
            self._catalog.pass_genres_to_tracks(changed)
        return [each.spotify_id for each in changed]

    def genre_list(self, source: str) -> GenreList | None:
        """All names of genres that a source has; None if they were never read."""
        found = self._db["genre_lists"].find_one({"source": source})
        return None if found is None else GenreList.stored(found)

    def put_genre_list(self, names: GenreList) -> None:
        """Store all names of genres that a source has."""
        self._db["genre_lists"].replace_one({"source": names.source}, names.to_bson(), upsert=True)

    def _artists(self, spotify_ids: Collection[str] | None = None) -> Iterator[ArtistGenres]:
        """The artists that Spotify has, with all answers about them."""
        some: Document = {} if spotify_ids is None else {"spotify_id": {"$in": list(spotify_ids)}}
        fields = {"_id": 0, "spotify_id": 1, "source": 1, "mbid": 1, "read_at": 1, "tags.name": 1}
        answers: dict[str, dict[str, TagAnswer]] = {}
        for found in self._db["artist_tags"].find(some, fields):
            names = tuple(tag["name"] for tag in found["tags"][: None if found["source"] == SPOTIFY else MOST_GENRES])
            answer = TagAnswer(found["mbid"], found["read_at"], names)
            answers.setdefault(found["spotify_id"], {})[found["source"]] = answer
        made_up = re.compile(NOT_ON_SPOTIFY)
        of_artist = {"_id": 0, "spotify_id": 1, "genres": 1, "genres_source": 1}
        for artist in self._db["artists"].find(some, of_artist):
            if not artist["spotify_id"] or made_up.match(artist["spotify_id"]):
                continue
            genres = tuple(artist.get("genres") or ())
            # Earlier versions, and EchoStats, had genres from Spotify only.
            source = (artist.get("genres_source") or SPOTIFY) if genres else ""
            yield ArtistGenres(artist["spotify_id"], genres, source, answers.get(artist["spotify_id"], {}))


def _lacking(artists: Sequence[ArtistGenres], order: Sequence[str], now: datetime) -> dict[str, int]:
    asked = (source for source in order if source != SPOTIFY)
    counts = {source: sum(1 for _ in open_artists(artists, source, order, now, EXPIRY)) for source in asked}
    return {source: count for source, count in counts.items() if count}


def _mbid(artist: ArtistGenres) -> str:
    return next((answer.mbid for answer in artist.answers.values() if answer.mbid), "")


def _upsert(answer: ArtistTags, known: Document) -> UpdateOne:
    key = {"spotify_id": answer.spotify_id, "source": answer.source}
    first = {name: value for name, value in answer.to_bson().items() if name not in known and name not in key}
    changes = {name: value for name, value in known.items() if name not in key}
    return UpdateOne(key, {"$set": changes, "$setOnInsert": first}, upsert=True)
