"""Reads audio features from the configured sources, in the order of the settings.

Spotify answers older apps only. ReccoBeats answers every app, within its limits. A file of the user answers at once. If
a source does not know a track, this is stored for some time, for each source. So a source that could not be called is
called later, and the other sources are not called again.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl
from pydantic import ValidationError

from echostats_pipeline.errors import EndpointRefused, SettingsError, WaitRequired
from echostats_pipeline.model.catalog import AudioFeatures
from echostats_pipeline.spotify import reccobeats
from echostats_pipeline.spotify.client import SpotifyClient
from echostats_pipeline.spotify.families import Family
from echostats_pipeline.spotify.mapping import audio_features_document
from echostats_pipeline.spotify.patience import waiting_out
from echostats_pipeline.spotify.retry_after import Clock
from echostats_pipeline.spotify.transport import Handler

Answers = Iterator[tuple[str, AudioFeatures | None]]
FeatureSource = Callable[[Sequence[str]], Answers]
"""Takes track ids, and yields each id it could look up with the features, or None; may raise `WaitRequired`."""

ID_COLUMNS = ("spotify_id", "track_id", "id")
"""Accepted names for the column of track ids."""
FAMILIES: Mapping[str, Family] = {
    "spotify": "audio-features",
    "reccobeats": "reccobeats",
    "musicbrainz": "musicbrainz",
    "lastfm": "lastfm",
}
"""Family of endpoints that each source of audio features or genres calls; a file calls none."""


def from_spotify(client: SpotifyClient) -> FeatureSource:
    """Return Spotify as a source; if it refuses the app, it yields nothing, so no track counts as unknown."""

    def ask(ids: Sequence[str]) -> Answers:
        try:
            for spotify_id, found in client.audio_features_iter(ids):
                yield spotify_id, audio_features_document(found) if found else None
        except EndpointRefused:
            return

    return ask


def from_reccobeats(handler: Handler, base_url: str, clock: Clock) -> FeatureSource:
    """Return ReccoBeats as a source; it has neither length nor time signature. If it fails, it waits."""

    def ask(ids: Sequence[str]) -> Answers:
        with waiting_out("reccobeats", clock):
            for spotify_id, found in reccobeats.audio_features_iter(handler, ids, base_url):
                yield spotify_id, _complete(found)

    return ask


def from_file(path: Path) -> FeatureSource:
    """Return a CSV or Parquet file as a source: a column of track ids, and columns with Spotify's feature names.

    Raises:
        SettingsError: the file cannot be read, or has no column of ids.
    """
    texts = dict.fromkeys(ID_COLUMNS, pl.String)  # polars could take an id for a number
    try:
        table = (
            pl.read_parquet(path)
            if path.suffix.lower() == ".parquet"
            else pl.read_csv(path, schema_overrides=texts, infer_schema_length=None)
        )
    except (OSError, pl.exceptions.PolarsError) as error:
        raise SettingsError(f"ECHOSTATS_AUDIO_FEATURES names {path}, which cannot be read: {error}") from error
    id_column = next((name for name in ID_COLUMNS if name in table.columns), None)
    if id_column is None:
        raise SettingsError(
            f"ECHOSTATS_AUDIO_FEATURES names {path}, which has no column of track ids. "
            f"Name it one of: {', '.join(ID_COLUMNS)}."
        )
    known = table.with_columns(pl.col(id_column).cast(pl.String)).fill_nan(None)

    def ask(ids: Sequence[str]) -> Answers:
        wanted = known.filter(pl.col(id_column).is_in(list(ids)))
        rows = {row[id_column]: row for row in wanted.iter_rows(named=True)}
        for spotify_id in ids:
            yield spotify_id, _complete(rows.get(spotify_id))

    return ask


def askable(sources: Iterable[str], waiting: Collection[str]) -> list[str]:
    """Return the names of the sources that can be called while these families of endpoints wait or are refused."""
    return [name for name in sources if FAMILIES.get(name) not in waiting]


@dataclass
class AudioFeaturesResult:
    """The answers of all sources.

    Attributes:
        answers: Features by track id, for the tracks that a source was asked for; None if no source knows the track.
        asked: Sources that do not know a track, by track id, including those of earlier runs.
        waiting: Why a source was not asked for all tracks, by source.
    """

    answers: dict[str, AudioFeatures | None] = field(default_factory=dict)
    asked: dict[str, list[str]] = field(default_factory=dict)
    waiting: dict[str, WaitRequired] = field(default_factory=dict)


def ask_in_turn(sources: Mapping[str, FeatureSource], asked: Mapping[str, Iterable[str]]) -> AudioFeaturesResult:
    """Ask each source for the tracks that the sources before it do not know, unless it is known not to have them.

    Args:
        sources: The sources by name, in the order of the calls.
        asked: Sources that are known not to have a track, by track id.
    """
    heard = AudioFeaturesResult(asked={spotify_id: list(names) for spotify_id, names in asked.items()})
    for name, ask in sources.items():
        open_ids = [
            spotify_id
            for spotify_id, names in heard.asked.items()
            if heard.answers.get(spotify_id) is None and name not in names
        ]
        try:
            for spotify_id, found in ask(open_ids):
                heard.answers[spotify_id] = found
                if found is None:
                    heard.asked[spotify_id].append(name)
        except WaitRequired as wait:
            heard.waiting[name] = wait
    return heard


def _complete(values: Mapping[str, object] | None) -> AudioFeatures | None:
    """Return a document of the values, or None if a required value is missing: a zero would distort the averages."""
    try:
        return AudioFeatures.model_validate({name: (values or {}).get(name) for name in AudioFeatures.model_fields})
    except ValidationError:
        return None
