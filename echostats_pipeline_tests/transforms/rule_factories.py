"""Hypothesis strategies for rules of a user, which meet the plays of `listening_factories`."""

from typing import Any

from bson import ObjectId
from hypothesis import strategies as st

from echostats_pipeline.model.catalog import AlbumRef, ArtistRef
from echostats_pipeline.model.rules import Exclusion, Renaming, Rule
from echostats_pipeline_tests.transforms.listening_factories import NAMES, TRACK_IDS
from echostats_pipeline_tests.transforms.oracle import Document

IDS = ("", "id1", "id2", "id3")
named = st.sampled_from((*filter(None, NAMES), "BJÖRK", "nirvana "))
artists = st.builds(ArtistRef, spotify_id=st.sampled_from(IDS), name=named)
albums = st.builds(AlbumRef, spotify_id=st.sampled_from(IDS), name=named)
several_tracks = st.lists(st.sampled_from(TRACK_IDS), min_size=2, max_size=3, unique=True)


def _hours(hours: list[int]) -> Document:
    return dict(zip(("from_hour", "to_hour"), hours, strict=True))


conditions = st.one_of(
    artists.map(lambda artist: {"artist": artist}),
    albums.map(lambda album: {"album": album}),
    st.lists(st.sampled_from(TRACK_IDS), min_size=1, max_size=3, unique=True).map(lambda ids: {"track_ids": ids}),
    st.sampled_from(({"context_uri": "spotify:playlist:id1"}, {"context_uri": "spotify:album:id1"})),
    st.lists(st.integers(0, 23), min_size=2, max_size=2, unique=True).map(_hours),
    st.lists(st.integers(0, 6), min_size=1, max_size=4, unique=True).map(lambda days: {"weekdays": days}),
    st.sampled_from(
        (
            {"from_date": "2011-12-30"},
            {"to_date": "2024-03-09"},
            {"from_date": "2010-11-06", "to_date": "2024-03-10"},
        )
    ),
    st.just({"private_session": True}),
)
exclusions = st.lists(conditions, min_size=1, max_size=2).map(
    lambda parts: Exclusion(**{name: value for part in parts for name, value in part.items()})
)
renamings = st.builds(
    Renaming,
    what=st.sampled_from(("track", "artist", "album")),
    spotify_id=st.sampled_from((*IDS, *TRACK_IDS[:3])),
    name=named,
    shown_name=st.sampled_from(("Another", "A name")),
)
contents = st.one_of(
    exclusions.map(lambda each: {"kind": "exclude", "exclude": each}),
    st.lists(artists, min_size=2, max_size=3).map(lambda each: {"kind": "same_artist", "artists": each}),
    renamings.map(lambda each: {"kind": "rename", "rename": each}),
    several_tracks.map(lambda each: {"kind": "same_song", "track_ids": each}),
    several_tracks.map(lambda each: {"kind": "different", "track_ids": each}),
)


def numbered(content: list[dict[str, Any]]) -> list[Rule]:
    """Stored rules of one user."""
    return [
        Rule.model_validate({"_id": ObjectId(f"{number:024x}"), "user_id": "u", **each})
        for number, each in enumerate(content)
    ]


rules = st.lists(contents, max_size=4).map(numbered)


def documents(found: list[Rule]) -> list[Document]:
    """Rules as the database has them."""
    return [{"_id": rule.id, **rule.to_bson()} for rule in found]
