"""What users did with generated playlists: plays and skips inside them, told by the context of each play.

Spotify lists no play below 30 seconds. But who hears a playlist in order and lands two places further on has skipped
the song between, if there was no time for it: this is concluded only where the times leave nothing else.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal

from bson import ObjectId

from echostats_pipeline.model.playlists import GeneratedPlaylist, PlaylistEdit

SHORT_MS = 30_000
"""A play below this that was ended by the user is a skip."""
WHOLE = 0.9
ENDED_BY_USER = ("fwdbtn", "backbtn", "endplay")
SLACK = timedelta(seconds=5)
"""How exact the times of plays are."""
HALF_LIFE_DAYS = 30.0
OTHERS = 0.5
"""What feedback in playlists of other generators counts."""
MOST = 2.0
RECENT = timedelta(days=30)


@dataclass(frozen=True)
class ListeningEvent:
    """A play or a skip inside a generated playlist.

    Attributes:
        track_id: The song.
        playlist_id: The generated playlist as it was when the song was played.
        generator: What made that playlist.
        event: Whether it was heard or skipped.
        at: When it ended.
        position: Its place in the playlist, from 1.
        elapsed_ms: How long it was heard; None if unknown.
        is_inferred: Whether no play tells of it.
    """

    track_id: str
    playlist_id: ObjectId
    generator: str
    event: Literal["play", "skip"]
    at: datetime
    position: int
    elapsed_ms: int | None = None
    is_inferred: bool = False


@dataclass(frozen=True)
class Said:
    """What a user has said about tracks in applications: ids of liked and disliked ones."""

    liked: Collection[str] = ()
    disliked: Collection[str] = ()


@dataclass(frozen=True)
class Learned:
    """What feedback means for the next playlist of a generator.

    Attributes:
        weights: By track id: above 0 for songs that were heard out, below 0 for those that were passed over.
        missed: Recent skips that no play tells of, by track id.
        left_out: Tracks that must not come, because the user dislikes them.
    """

    weights: Mapping[str, float] = field(default_factory=dict)
    missed: Mapping[str, int] = field(default_factory=dict)
    left_out: Collection[str] = ()


def listening_events(
    playlists: Iterable[GeneratedPlaylist], plays: Sequence[Mapping[str, Any]]
) -> list[ListeningEvent]:
    """The plays and skips inside generated playlists, the oldest first.

    Args:
        playlists: The generated playlists that were written to Spotify; others are ignored.
        plays: Documents of ``listening_history`` whose context is one of them, the oldest first.
    """
    versions: dict[str, list[GeneratedPlaylist]] = {}
    for made in sorted(playlists, key=lambda each: each.written_at or each.created_at):
        if made.spotify_id and made.written_at is not None:
            versions.setdefault(f"spotify:playlist:{made.spotify_id}", []).append(made)
    found: list[ListeningEvent] = []
    before: dict[ObjectId, ListeningEvent] = {}
    for play in plays:
        version = _version(versions.get(play["context_uri"], ()), play["played_at"])
        event = None if version is None else _event(version, play)
        if version is None or event is None:
            continue
        last = before.get(event.playlist_id)
        if last is not None and event.event == "play":
            found += _missed(version, last, event)
        found.append(event)
        before[event.playlist_id] = event
    return found


def _version(versions: Sequence[GeneratedPlaylist], at: datetime) -> GeneratedPlaylist | None:
    """The playlist as it was at an instant."""
    written = [made for made in versions if made.written_at is not None and made.written_at <= at]
    return written[-1] if written else None


def _event(made: GeneratedPlaylist, play: Mapping[str, Any]) -> ListeningEvent | None:
    track = next((each for each in made.tracks if each.spotify_id == play["track"]["spotify_id"]), None)
    if track is None or made.id is None:
        return None
    ms, playback = play.get("ms_played"), play.get("playback") or {}
    skipped = ms is not None and ms < SHORT_MS and _was_ended(playback, ms, track.duration_ms)
    return ListeningEvent(
        track.spotify_id,
        made.id,
        made.generator,
        "skip" if skipped else "play",
        play["played_at"],
        track.position,
        ms,
    )


def _was_ended(playback: Mapping[str, Any], ms: int, duration_ms: int) -> bool:
    """Whether the user has ended a short play."""
    skipped, reason = playback.get("skipped"), playback.get("reason_end")
    if skipped is None and not reason:
        return ms < WHOLE * duration_ms
    return reason != "trackdone" and (bool(skipped) or reason in ENDED_BY_USER)


def _missed(made: GeneratedPlaylist, last: ListeningEvent, event: ListeningEvent) -> Iterable[ListeningEvent]:
    """Songs between two plays that were passed over: in order, and without the time to hear them."""
    between = [each for each in made.tracks if last.position < each.position < event.position]
    track = made.tracks[event.position - 1]
    heard = timedelta(milliseconds=track.duration_ms if event.elapsed_ms is None else event.elapsed_ms)
    pause = event.at - heard - last.at
    longest = timedelta(milliseconds=SHORT_MS) * len(between) + SLACK
    if not between or not -SLACK <= pause <= longest:
        return
    for each in between:
        yield ListeningEvent(
            each.spotify_id,
            event.playlist_id,
            event.generator,
            "skip",
            event.at - heard,
            each.position,
            is_inferred=True,
        )


def learn(
    events: Iterable[ListeningEvent],
    edits: Iterable[PlaylistEdit],
    generator_of: Mapping[ObjectId, str],
    said: Said,
    generator: str,
    now: datetime,
) -> Learned:
    """What all feedback means for the next playlist of a generator.

    Args:
        events: Plays and skips.
        edits: What the user changed at Spotify.
        generator_of: The generator of each generated playlist, by its id.
        said: What the user said in applications.
        generator: What makes the next playlist.
        now: The present instant.
    """
    weights: dict[str, float] = {}
    missed: dict[str, int] = {}

    def add(track_id: str, weight: float, at: datetime, of: str) -> None:
        aged = weight * 2.0 ** (-max((now - at) / timedelta(days=1), 0.0) / HALF_LIFE_DAYS)
        weights[track_id] = weights.get(track_id, 0.0) + aged * (1.0 if of == generator else OTHERS)

    for event in events:
        add(event.track_id, 1.0 if event.event == "play" else -1.0, event.at, event.generator)
        if event.is_inferred and event.at > now - RECENT:
            missed[event.track_id] = missed.get(event.track_id, 0) + 1
    for edit in edits:
        of = edit.generator or generator_of.get(edit.playlist_id, "")
        add(edit.spotify_id, 1.0 if edit.event == "add_to_playlist" else -1.0, edit.seen_at, of)
    for liked in said.liked:
        weights[liked] = weights.get(liked, 0.0) + 1.0
    bounded = {track_id: round(min(max(value, -MOST), MOST), 6) for track_id, value in sorted(weights.items())}
    return Learned({track_id: value for track_id, value in bounded.items() if value}, missed, frozenset(said.disliked))
