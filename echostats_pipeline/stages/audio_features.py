"""Audio features from wherever they are to be had, in the order the user has set.

Spotify answers older apps only; ReccoBeats answers everybody, within its limits; a file of the user's own answers at
once. That a source knows nothing of a track is remembered for a while, by source: one that could not be asked is asked
later, and the others are left in peace.
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
from echostats_pipeline.spotify.mapping import audio_features_document
from echostats_pipeline.spotify.transport import Handler

Answers = Iterator[tuple[str, AudioFeatures | None]]
FeatureSource = Callable[[Sequence[str]], Answers]
"""Asked for track ids, gives each id it could ask about with what it knows; may end early by `WaitRequired`."""

ID_COLUMNS = ("spotify_id", "track_id", "id")
FAMILIES = {"spotify": "audio-features", "reccobeats": "reccobeats"}
"""By source the family of endpoints it asks; a file asks none."""


def from_spotify(client: SpotifyClient) -> FeatureSource:
    """Spotify itself; an app it refuses gets no answers, which is not the same as unknown tracks."""

    def ask(ids: Sequence[str]) -> Answers:
        try:
            for spotify_id, found in client.audio_features_iter(ids):
                yield spotify_id, audio_features_document(found) if found else None
        except EndpointRefused:
            return

    return ask


def from_reccobeats(handler: Handler, base_url: str) -> FeatureSource:
    """ReccoBeats, which knows neither length nor time signature."""

    def ask(ids: Sequence[str]) -> Answers:
        for spotify_id, found in reccobeats.audio_features_iter(handler, ids, base_url):
            yield spotify_id, _complete(found)

    return ask


def from_file(path: Path) -> FeatureSource:
    """A CSV or Parquet file with a column of track ids and columns named as Spotify names the features.

    Raises:
        SettingsError: the file cannot be read, or has no column of ids.
    """
    texts = dict.fromkeys(ID_COLUMNS, pl.String)  # an id may look like a number
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
    """Of the sources, by name, those that can be asked while these families of endpoints wait or are refused."""
    return [name for name in sources if FAMILIES.get(name) not in waiting]


@dataclass
class AudioFeaturesResult:
    """What sources said.

    Attributes:
        answers: By track id, for those that a source was asked about: what is known, None where no source knows it.
        asked: By track id, the sources that know nothing of it, those of earlier rounds included.
        waiting: By source, why it was not asked about all.
    """

    answers: dict[str, AudioFeatures | None] = field(default_factory=dict)
    asked: dict[str, list[str]] = field(default_factory=dict)
    waiting: dict[str, WaitRequired] = field(default_factory=dict)


def ask_in_turn(sources: Mapping[str, FeatureSource], asked: Mapping[str, Iterable[str]]) -> AudioFeaturesResult:
    """Ask each source for what those before it did not know, unless it has said before that it does not.

    Args:
        sources: By name, in the order to ask.
        asked: By track id, the sources that have said so.
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
    """A document of the values, None if a required one is missing: a zero in its place would distort the averages."""
    try:
        return AudioFeatures.model_validate({name: (values or {}).get(name) for name in AudioFeatures.model_fields})
    except ValidationError:
        return None
