"""Audio features from wherever they are to be had, in the order the user has set.

Spotify answers older apps only; ReccoBeats answers everybody, within its limits; a file of the user's own answers at
once. A track that none of them knows is remembered as such for a while; one that could not be asked about is not.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
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


def ask_in_turn(
    sources: Iterable[FeatureSource], ids: Sequence[str]
) -> tuple[dict[str, AudioFeatures | None], WaitRequired | None]:
    """Ask each source for what those before it did not know.

    Returns:
        What is known of each id, None where no source knows it; and why ids were left out, if a source has to wait that
        might know them.
    """
    answers: dict[str, AudioFeatures | None] = dict.fromkeys(ids)
    waiting: WaitRequired | None = None
    unasked: set[str] = set()
    for ask in sources:
        open_ids = [spotify_id for spotify_id, found in answers.items() if found is None]
        heard: set[str] = set()
        try:
            for spotify_id, found in ask(open_ids):
                heard.add(spotify_id)
                answers[spotify_id] = found
        except WaitRequired as wait:
            waiting = waiting or wait
            unasked |= set(open_ids) - heard
    return {key: found for key, found in answers.items() if found is not None or key not in unasked}, waiting


def _complete(values: Mapping[str, object] | None) -> AudioFeatures | None:
    """A document of the values, None if a required one is missing: a zero in its place would distort the averages."""
    try:
        return AudioFeatures.model_validate({name: (values or {}).get(name) for name in AudioFeatures.model_fields})
    except ValidationError:
        return None
