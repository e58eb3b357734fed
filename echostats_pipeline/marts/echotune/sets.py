"""Writes the sets of recommendations of a user, and metadata of tracks that only recommendations name."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

import polars as pl

from echostats_pipeline.marts.echotune.database import user_object_id
from echostats_pipeline.marts.echotune.optional import OPTIONAL
from echostats_pipeline.marts.echotune.reading import CoreReader
from echostats_pipeline.marts.echotune.recommendations import (
    Feedback,
    RecommendedList,
    recommendation_documents,
    staying,
    superseded,
)
from echostats_pipeline.marts.echotune.said import Collections
from echostats_pipeline.marts.echotune.tracks import listed_track
from echostats_pipeline.marts.writing import SOURCE, Update, put
from echostats_pipeline.model.users import User
from echostats_pipeline.storage.database import Document


@dataclass(frozen=True)
class RecommendationSets:
    """EchoTune's sets of recommendations, for one update of the mart.

    Attributes:
        collection: Returns a collection of EchoTune's by its name without the prefix.
        core: Read access to the core.
        update: When, and by which run.
        known: Returns what the catalogue says of tracks, as `plays.KNOWN_SCHEMA`, and perhaps of more.
    """

    collection: Collections
    core: CoreReader
    update: Update
    known: Callable[[Iterable[str]], pl.DataFrame]

    def put(self, user: User, feedback: Feedback, written: Counter[str]) -> None:
        """Write the sets of a user from the recommender's present lists."""
        lists = self.core.recommended(user.user_id)
        # Without lists, the recommender is off, or they may rest on plays that are no longer shared. Sets without
        # tracks were taken back for this reason; what their user has said in them is kept by now.
        gone = {"userId": user_object_id(user.user_id), "source": SOURCE, **({"tracks": []} if lists else {})}
        written["recommendations"] += self.collection("recommendations").delete_many(gone).deleted_count
        every = (each for made in lists for each in (made, *(made.get("further") or [])))
        self._put_unknown({track["spotify_id"]: track for each in every for track in each["tracks"]}, written)
        made = [each for document in lists for each in RecommendedList.stored(document)]
        owner = user_object_id(user.user_id)
        undated, sets = replace(self.update, dated=False), self.collection("recommendations")
        stay = sets.find(staying(made, owner), {"tracks.trackId": 1}) if made else ()
        shown = {track["trackId"] for each in stay for track in each["tracks"]}
        documents = list(recommendation_documents(made, owner, feedback.disliked | shown, self.update.now))
        written["recommendations"] += put(sets, documents, undated, OPTIONAL["recommendations"])
        if replaced := superseded(documents, owner):
            written["recommendations"] += sets.delete_many(replaced).deleted_count
        self._drop_unlisted(written)

    def _put_unknown(self, tracks: Mapping[str, Document], written: Counter[str]) -> None:
        """Write metadata of recommended tracks that the catalogue does not have."""
        metadata = self.collection("track_metadata")
        known = metadata.find({"spotifyId": {"$in": sorted(tracks)}}, {"_id": 0, "spotifyId": 1})
        unknown = sorted(tracks.keys() - {each["spotifyId"] for each in known})
        documents = (listed_track(tracks[each]) for each in unknown)
        written["track_metadata"] += put(metadata, documents, self.update, OPTIONAL["track_metadata"])

    def drop_unmarked(self, written: Counter[str]) -> None:
        """Delete metadata of tracks that are not in the catalogue, which earlier versions did not mark as such."""
        metadata, unmarked = self.collection("track_metadata"), {"source": SOURCE, "listedOnly": {"$exists": False}}
        ids = [each["spotifyId"] for each in metadata.find(unmarked, {"_id": 0, "spotifyId": 1})]
        if gone := set(ids) - set(self.known(ids)["track_id"]):
            query = {**unmarked, "spotifyId": {"$in": sorted(gone)}}
            written["track_metadata"] += metadata.delete_many(query).deleted_count

    def _drop_unlisted(self, written: Counter[str]) -> None:
        """Delete metadata of tracks that only recommendations named, once none does."""
        metadata, sets = self.collection("track_metadata"), self.collection("recommendations")
        ids = [each["spotifyId"] for each in metadata.find({"listedOnly": True}, {"_id": 0, "spotifyId": 1})]
        named = {
            track["trackId"]
            for each in sets.find({"tracks.trackId": {"$in": ids}}, {"_id": 0, "tracks.trackId": 1})
            for track in each["tracks"]
        }
        gone = set(ids) - named - set(self.known(ids)["track_id"])
        if gone:
            query = {"spotifyId": {"$in": sorted(gone)}, "listedOnly": True}
            written["track_metadata"] += metadata.delete_many(query).deleted_count
