"""Why a song is in a playlist: sentences made of facts about this song and this user only."""

from collections.abc import Collection as AnyOf
from collections.abc import Mapping
from datetime import date
from typing import Any

from echostats_pipeline.model.playlists import SongSource, Understanding
from echostats_pipeline.playlists.candidates import Ranges

Row = Mapping[str, Any]


def source_of(song: Row) -> SongSource:
    """Where a song comes from: the first that is true."""
    if song["plays"]:
        return "history"
    if song["in_library"]:
        return "library"
    if song["pinned"] and song["recommended"] is None and not song["recent_plays"]:
        return "added"
    return "recommended" if song["recommended"] is not None else "other_users"


def reason_of(song: Row, asked: Understanding) -> str:
    """Why a song was chosen for what a text asks for."""
    parts = (_added(song), sound_of(song, asked), _likeness(song, asked), hearing_of(song))
    return " ".join(part for part in parts if part)


def rule_reason_of(song: Row, fields: AnyOf[str], season: tuple[date, date]) -> str:
    """Why a song is in a rule playlist.

    Args:
        song: The song.
        fields: What the rules are about, as `RulePlaylist.fields`.
        season: The first and the last day of this season of last year.
    """
    parts = [_added(song)]
    first, last = season
    if "seasonplays" in fields and song["season_plays"]:
        parts.append(f"Played {times(song['season_plays'])} from {first:%B %Y} to {last:%B %Y}.")
    if "firstplayed" in fields and song["first_played_at"] is not None:
        parts.append(f"First heard on {song['first_played_at']:%Y-%m-%d}.")
    if "dateadded" in fields and song["added_at"] is not None and not song["plays"]:
        parts.append(f"Added on {song['added_at']:%Y-%m-%d}.")
    if "skipcount" in fields and song["skips"]:
        parts.append(f"Left early {times(song['skips'])}.")
    return " ".join(part for part in (*parts, hearing_of(song)) if part)


def _added(song: Row) -> str:
    """That the user has added the song, if so."""
    return "You added it at Spotify." if song["pinned"] else ""


def sound_of(song: Row, asked: Understanding) -> str:
    """The features that were asked for, as this song has them."""
    ranges = Ranges.of(asked)
    inside: list[str] = []
    outside: list[str] = []
    for axis, (low, high) in ranges.spans.items():
        value = song[axis]
        if value is None:
            continue
        shown = f"{value:.0f} bpm" if axis == "tempo" else f"{axis} {value:.2f}"
        (inside if low <= value <= high else outside).append(shown)
    said = [_sentence(f"{', '.join(inside)}, as asked.")] if inside else []
    if outside:
        said.append(_sentence(f"{', '.join(outside)}, outside what was asked."))
    if asked.instrumental is not None:
        said.append("No singing." if asked.instrumental else "With singing.")
    return " ".join(said)


def _likeness(song: Row, asked: Understanding) -> str:
    if song["artist_name"] in asked.like_artists:
        return f"By {song['artist_name']}."
    tags = [tag for tag in song["tags"] if any(tag == genre for genre in asked.genres)] or list(song["tags"])[:1]
    return f"Tagged {tags[0]}." if tags and (asked.genres or asked.like_artists) else ""


def hearing_of(song: Row) -> str:
    """How the user knows the song."""
    plays = int(song["plays"])
    if plays:
        return f"Played {times(plays)}, last on {song['last_played_at']:%Y-%m-%d}."
    if song["recommended_reason"]:
        return f"New to you. {song['recommended_reason']}"
    if song["in_library"]:
        return "In your library, not played yet." if not song["skips"] else "In your library, never heard to its end."
    if song["skips"]:
        return "Begun, never heard to its end."
    if source_of(song) == "added":
        return ""
    return "New to you: others here play it."


def times(number: int) -> str:
    """A number of times in words."""
    return {1: "once", 2: "twice"}.get(number, f"{number:,} times")


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]
