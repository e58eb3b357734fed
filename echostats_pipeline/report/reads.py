"""Reads the data of a listening report from the collections of statistics, days, gaps and the catalogue."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import partial
from typing import TypeVar
from zoneinfo import ZoneInfo

import polars as pl

from echostats_pipeline.model.catalog import ArtistRef, Image
from echostats_pipeline.model.plays import ListeningGap
from echostats_pipeline.model.rules import Renaming, Rule
from echostats_pipeline.model.statistics import (
    AnalyticsSnapshot,
    CalendarSnapshot,
    DayTotal,
    Period,
    PeriodStatistics,
    TopItem,
    YearlyReview,
)
from echostats_pipeline.model.users import User
from echostats_pipeline.report.document import HeardPlaylist, LikedSong, LikedSongs, song_key
from echostats_pipeline.storage.database import Db, Document
from echostats_pipeline.transforms.days import local_date
from echostats_pipeline.transforms.history.identity import MADE_UP
from echostats_pipeline.transforms.history.own_names import own_names
from echostats_pipeline.transforms.rule_checks import is_same_artist
from echostats_pipeline.transforms.statistics.exclusions import counted_as_one
from echostats_pipeline.transforms.statistics.frames import TRACK_IDS_SCHEMA, TRACK_NAMES

MOST_LISTS = 20
"""Most playlists of a report, those with the most songs."""
MOST_OTHERS = 10
"""Most users with whom a user is compared."""
Statistics = TypeVar("Statistics", bound=PeriodStatistics)


class ReportStore:
    """Reads the data of reports, and writes nothing; a document that was never built is None."""

    def __init__(self, db: Db) -> None:
        self._db = db

    def all_time(self, user_id: str) -> AnalyticsSnapshot | None:
        """Return the statistics of all time."""
        query = {"user_id": user_id, "period": "all_time"}
        return _read(AnalyticsSnapshot, self._db["analytics_snapshots"].find_one(query))

    def snapshots(self, user_id: str, periods: Collection[Period]) -> dict[Period, AnalyticsSnapshot]:
        """Return the statistics of periods that end today, by period; those that were never built are left out."""
        query = {"user_id": user_id, "period": {"$in": list(periods)}}
        found = (AnalyticsSnapshot.stored(document) for document in self._db["analytics_snapshots"].find(query))
        return {snapshot.period: snapshot for snapshot in found}

    def reviews(self, user_id: str) -> list[YearlyReview]:
        """Return the statistics of every finished year, in order."""
        found = self._db["yearly_reviews"].find({"user_id": user_id}).sort("year")
        return [YearlyReview.stored(document) for document in found]

    def this_year(self, user_id: str) -> CalendarSnapshot | None:
        """Return the statistics of the year in which they were built."""
        query = {"user_id": user_id, "period": "this_year"}
        return _read(CalendarSnapshot, self._db["calendar_snapshots"].find_one(query))

    def review(self, user_id: str, year: int) -> YearlyReview | None:
        """Return the statistics of a finished year."""
        return _read(YearlyReview, self._db["yearly_reviews"].find_one({"user_id": user_id, "year": year}))

    def artists_by_year(self, user: User) -> dict[int, list[TopItem]]:
        """Return the artists played most in each finished year and in the current one, in order."""
        found = {review.year: review.top_artists for review in self.reviews(user.user_id)}
        current = self.this_year(user.user_id)
        if current is not None and current.period_start is not None:
            found[local_date(current.period_start, ZoneInfo(user.timezone)).year] = current.top_artists
        return found

    def others(self, user: User) -> dict[str, list[TopItem]]:
        """Return the artists played most, of all time, of the users with whom the user may be compared, by their names.

        Both have to agree.
        """
        if not user.compares:
            return {}
        agreed = self._db["users"].find({"compares": True, "partition_key": {"$ne": user.partition_key}}).sort("_id")
        found: dict[str, list[TopItem]] = {}
        for other in map(User.stored, agreed.limit(MOST_OTHERS)):
            statistics = self.all_time(other.user_id)
            if statistics is not None and other.simulated == user.simulated:
                name = other.display_name or other.partition_key
                found[other.partition_key if name in found else name] = statistics.top_artists
        return found

    def has_imports(self, user_id: str) -> bool:
        """Return whether plays of an export were imported."""
        return self._db["imports"].find_one({"user_id": user_id, "inserted": {"$gt": 0}}, {"_id": 1}) is not None

    def liked(self, user_id: str) -> LikedSongs | None:
        """Return what is known of liked songs; None if they were never read to the end."""
        reading = {"user_id": user_id, "part": "saved_tracks", "finished_at": {"$ne": None}}
        if self._db["library_readings"].find_one(reading, {"_id": 1}) is None:
            return None
        fields = {"_id": 0, "spotify_id": 1, "name": 1, "artist_name": 1, "added_at": 1}
        rows = self._db["saved_tracks"].find({"user_id": user_id}, fields).sort([("added_at", -1), ("spotify_id", 1)])
        songs = [LikedSong(**row) for row in rows]
        known = self._heard(user_id, songs)
        return LikedSongs(
            len(songs),
            {song.spotify_id for song in songs} | {song_key(song.name, song.artist_name) for song in songs},
            [song for song in songs if not _is_known(song, known)],
        )

    def playlists(self, user_id: str) -> list[HeardPlaylist]:
        """Return the playlists with most songs, and how many songs of each are not among the known plays."""
        fields = {
            "_id": 0,
            "name": 1,
            "spotify_id": 1,
            "tracks.spotify_id": 1,
            "tracks.name": 1,
            "tracks.artist_name": 1,
        }
        query = {"user_id": user_id, "tracks.0": {"$exists": True}}
        found = list(
            self._db["playlists"].find(query, fields).sort([("total_tracks", -1), ("name", 1)]).limit(MOST_LISTS)
        )
        songs = {
            each["spotify_id"]: [
                LikedSong(track["spotify_id"], track["name"], track["artist_name"], None) for track in each["tracks"]
            ]
            for each in found
        }
        known = self._heard(user_id, [song for of_one in songs.values() for song in of_one])
        return [
            HeardPlaylist(
                each["name"],
                each["spotify_id"],
                len(songs[each["spotify_id"]]),
                sum(not _is_known(song, known) for song in songs[each["spotify_id"]]),
            )
            for each in found
        ]

    def _heard(self, user_id: str, songs: Sequence[LikedSong]) -> set[str]:
        """Return ids and `song_key` of the user's plays that may be one of some songs."""
        any_of = [
            {"track.spotify_id": {"$in": sorted({song.spotify_id for song in songs})}},
            {"track.name": {"$in": sorted({song.name for song in songs})}},
        ]
        names = {"id": "$track.spotify_id", "name": "$track.name", "artist_name": "$track.artist_name"}
        played = _distinct({"user_id": user_id, "$or": any_of}, names)
        heard = [each["_id"] for each in self._db["listening_history"].aggregate(played)]
        return {each["id"] for each in heard} | {song_key(each["name"], each["artist_name"]) for each in heard}

    def days(self, user_id: str) -> list[DayTotal]:
        """Return plays and time of every date that has a rollup, in order."""
        fields = {"_id": 0, "date": 1, "total_plays": 1, "total_ms": 1}
        found = self._db["daily_rollups"].find({"user_id": user_id}, fields).sort("date")
        return [DayTotal(date=day["date"], count=day["total_plays"], total_ms=day["total_ms"]) for day in found]

    def short_plays(self, user_id: str, year: int | None) -> int:
        """Return the number of plays of a year, or of all time, that are kept and do not count."""
        dates = {} if year is None else {"date": {"$gte": f"{year}-01-01", "$lte": f"{year}-12-31"}}
        rows = {"$subtract": [{"$ifNull": ["$total_rows", "$total_plays"]}, {"$ifNull": ["$excluded_rows", 0]}]}
        short = {"$subtract": [rows, "$total_plays"]}
        pipeline: list[Document] = [
            {"$match": {"user_id": user_id, **dates}},
            {"$group": {"_id": None, "short": {"$sum": short}}},
        ]
        return sum(found["short"] for found in self._db["daily_rollups"].aggregate(pipeline))

    def open_gaps(self, user_id: str) -> list[ListeningGap]:
        """Return the open gaps, in order."""
        found = self._db["listening_gaps"].find({"user_id": user_id, "closed_by": None}).sort("from")
        return [ListeningGap.model_validate(gap) for gap in found]

    def genre_sources(self, genres: Collection[str]) -> list[str]:
        """Return the sources of the genres of artists who have one of these genres."""
        return sorted(set(self._db["artists"].distinct("genres_source", {"genres": {"$in": list(genres)}})) - {""})

    def credits(self, user_id: str, spotify_ids: Collection[str]) -> dict[str, str]:
        """Return the artists of tracks and albums by id, as far as the catalogue or the user's plays name them.

        Artists to whom a rule of the user gives another name have that name; those that a rule counts as one have the
        name under which the rankings of all time show them.
        """
        shown_name = self._shown_names(user_id)
        own = self._own_credits(user_id) if any(each.startswith(MADE_UP) for each in spotify_ids) else {}
        found = {track: shown_name("", name) for track, name in own.items()}
        spotify_ids = [each for each in spotify_ids if not each.startswith(MADE_UP)]
        for name in ("albums", "tracks"):
            documents = self._db[name].find({"spotify_id": {"$in": list(spotify_ids)}}, {"spotify_id": 1, "artists": 1})
            for document in documents:
                artists = [each for each in document.get("artists") or [] if each["name"]]
                if artists:
                    names = (shown_name(each["spotify_id"], each["name"]) for each in artists)
                    found[document["spotify_id"]] = ", ".join(dict.fromkeys(names))
        return found

    def _shown_names(self, user_id: str) -> Callable[[str, str], str]:
        """Return what tells the name of an artist after the rules of the user, from id and name."""
        about_artists = [{"kind": "same_artist"}, {"kind": "rename", "rename.what": "artist"}]
        rules = [Rule.stored(rule) for rule in self._db["rules"].find({"user_id": user_id, "$or": about_artists})]
        statistics = self.all_time(user_id) if any(rule.artists for rule in rules) else None
        tops = [*statistics.top_artists, *statistics.top_artists_credited] if statistics else []
        return partial(_shown_name, rules=sorted(rules, key=lambda rule: rule.rule_id), tops=tops)

    def _own_credits(self, user_id: str) -> dict[str, str]:
        """Return the artists of tracks without a Spotify id, as the user's own plays name them."""
        line = {name: f"$named_tracks.{name}" for name in ("spotify_id", *TRACK_NAMES)}
        sums = {"plays": {"$sum": "$named_tracks.count"}, "ms": {"$sum": "$named_tracks.ms"}}
        pipeline: list[Document] = [
            {"$match": {"user_id": user_id}},
            {"$project": {"named_tracks": 1}},
            {"$unwind": "$named_tracks"},
            {"$group": {"_id": line, **sums}},
        ]
        rows = [
            (number, *each["_id"].values(), each["plays"], each["ms"])
            for number, each in enumerate(self._db["daily_rollups"].aggregate(pipeline))
        ]
        schema = pl.Schema({"variant": pl.UInt32(), **TRACK_IDS_SCHEMA, "plays": pl.Int64(), "ms": pl.Int64()})
        variants = pl.DataFrame(rows, schema=schema, orient="row")
        own = own_names(variants.drop("plays", "ms"), variants.select("variant", "plays", "ms"))
        return dict(own.filter("first", pl.col("artist_name") != "").select("track_id", "artist_name").iter_rows())

    def sizes(self, spotify_ids: Collection[str]) -> Mapping[str, list[Image]]:
        """Return all sizes of pictures of artists, albums and albums of tracks, by the address of the widest size."""
        wanted = {"spotify_id": {"$in": list(spotify_ids)}}
        tracks = self._db["tracks"].find(wanted, {"album": 1})
        albums = {track["album"]["spotify_id"] for track in tracks if track.get("album")}
        pictured: Iterable[Document] = (
            *self._db["artists"].find(wanted, {"images": 1}),
            *self._db["albums"].find({"spotify_id": {"$in": [*spotify_ids, *albums]}}, {"images": 1}),
        )
        return {
            document["images"][0]["url"]: [Image.model_validate(image, extra="ignore") for image in document["images"]]
            for document in pictured
            if document.get("images")
        }


def _is_known(song: LikedSong, known: Collection[str]) -> bool:
    return song.spotify_id in known or song_key(song.name, song.artist_name) in known


def _distinct(query: Document, fields: Document) -> list[Document]:
    return [{"$match": query}, {"$group": {"_id": fields}}]


def _shown_name(spotify_id: str, name: str, rules: Sequence[Rule], tops: Sequence[TopItem]) -> str:
    """Return the name of an artist after rules about artists, with the rankings that have these names."""
    renamings = [(_ref(rule.rename), rule.rename.shown_name) for rule in rules if rule.rename is not None]
    artist = ArtistRef(spotify_id=spotify_id, name=name)
    of_one = counted_as_one(artist, rules)
    names = [shown for ref, shown in renamings if _is_any(ref, of_one)]
    if len(of_one) > 1:
        names = [top.name for top in tops if top.name in names or _is_any(_ref(top), of_one)] or names
    return next(iter(names), name)


def _ref(item: Renaming | TopItem) -> ArtistRef:
    return ArtistRef(spotify_id=item.spotify_id, name=item.name)


def _is_any(artist: ArtistRef, others: Iterable[ArtistRef]) -> bool:
    return any(is_same_artist(artist, other) for other in others)


def _read(model: type[Statistics], document: Document | None) -> Statistics | None:
    return None if document is None else model.stored(document)
