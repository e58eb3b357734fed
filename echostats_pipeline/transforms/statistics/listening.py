"""Assigns each track the artist and album it is counted under."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import date
from types import MappingProxyType

import polars as pl

from echostats_pipeline.model.catalog import AVERAGED_FEATURES
from echostats_pipeline.transforms.genres import genre_name
from echostats_pipeline.transforms.history.identity import made_up
from echostats_pipeline.transforms.history.own_names import NAMED, own_names
from echostats_pipeline.transforms.statistics.album_listens import album_sizes, full_listens
from echostats_pipeline.transforms.statistics.contexts import context_names
from echostats_pipeline.transforms.statistics.credits import credited_artists
from echostats_pipeline.transforms.statistics.frames import TRACK_NAMES as NAMES
from echostats_pipeline.transforms.statistics.frames import CatalogFrames, RollupFrames
from echostats_pipeline.transforms.statistics.songs import NO_RULES, SONGS_SCHEMA, Rules, alike, songs

IDS_AND_NAMES = ("artist_id", "album_id", *NAMES)
DATED = ("days", "hours", "sessions", "repeats", "exclusions", "tracks", "contexts", "full_listens")
FEATURE_UNIT = 10**9
"""Features are stored as whole multiples of one over this, so that the order of summation does not matter."""


@dataclass(frozen=True, eq=False)
class ListeningFrames:
    """What a user has heard, with numbers for tracks, artists and albums.

    Attributes:
        days: As in `frames.RollupFrames`, like `hours`, `sessions`, `repeats` and `exclusions`.
        tracks: ``date``, ``variant``, ``plays``, ``ms``. A variant is a track, or, for tracks without a Spotify id, one
            set of names that plays give the track.
        known: One row per variant ever played, in order of ``variant``: ``track_id``, ``track`` (the number of the
            variant under which its song is shown), ``artist``, ``album`` (null if there is none), and the features in
            whole parts of `FEATURE_UNIT` (null if unknown). A variant that shows a song has the features of any id.
        songs: The ids that share a song with another one, as `songs.SONGS_SCHEMA`. ``repeats`` have the shown ids.
        names: How tracks are shown: ``track_id``, `NAMES`, ``image_url`` (empty if unknown). Lazy, because few tracks
            are ever shown.
        artists: How an artist is shown: ``artist``, ``spotify_id`` and ``image_url`` (empty if unknown), ``name``.
        albums: Like `artists`, by ``album``.
        genres: ``artist``, ``genre``: a row for each genre of each artist.
        counts_songs: Whether ids may share a song at all.
        has_variants: Whether a song may have several variants.
        credits: ``variant``, ``credited``: a row for each credited artist of each variant.
        credited: Like `artists`, by ``credited``.
        contexts: As in `frames.RollupFrames`; empty while rollups of an earlier version lack them.
        context_names: As `contexts.context_names` returns them.
        full_listens: As `album_listens.full_listens` returns them, like `contexts` empty at first.
        album_sizes: Albums that can be heard in full, by id, as far as this is known.
    """

    days: pl.DataFrame
    hours: pl.DataFrame
    sessions: pl.DataFrame
    repeats: pl.DataFrame
    exclusions: pl.DataFrame
    tracks: pl.DataFrame
    known: pl.DataFrame
    names: pl.LazyFrame
    artists: pl.DataFrame
    albums: pl.DataFrame
    genres: pl.DataFrame
    songs: pl.DataFrame
    counts_songs: bool
    has_variants: bool
    credits: pl.DataFrame
    credited: pl.DataFrame
    contexts: pl.DataFrame
    context_names: pl.LazyFrame
    full_listens: pl.DataFrame
    album_sizes: Mapping[str, int]

    def until(self, last: date) -> "ListeningFrames":
        """The same up to and including a date; the numbers keep their meaning."""
        if (self.days["date"] <= last).all():
            return self
        dated = {name: getattr(self, name) for name in DATED}
        return replace(self, **{name: frame.filter(pl.col("date") <= last) for name, frame in dated.items()})

    def shown(self, tracks: pl.Series) -> pl.DataFrame:
        """How some tracks are shown: ``track``, ``spotify_id``, ``name``, ``artist_name``, ``image_url``."""
        ids = pl.DataFrame([tracks.alias("track"), self.known["track_id"].gather(tracks)])
        names = self.names.filter(pl.col("track_id").is_in(ids["track_id"].implode())).collect()
        return ids.join(names, on="track_id", how="left").rename({"track_id": "spotify_id"})


def identified(
    rollups: RollupFrames,
    catalog: CatalogFrames,
    played_names: Callable[[pl.Series], pl.DataFrame],
    rules: Rules | None = NO_RULES,
    playlists: Mapping[str, str] = MappingProxyType({}),
) -> ListeningFrames:
    """Number the tracks, artists and albums of a user, as they are counted.

    An artist or album is identified by its id. If the catalogue does not know the track, names decide: they mean the
    one known artist (or album of that artist) with that name. If there is none or more than one, the name itself is
    counted. Tracks without any artist get no artist number. For tracks without a Spotify id, the artist and album in
    the plays decide (``own_names``), because the catalogue is shared by all users.

    Args:
        rollups: All rollups of a user.
        catalog: At least the tracks in the rollups, their artists and albums, as far as known.
        played_names: Returns the names of tracks in their last play: ``track_id``, `NAMES`. They are used where the
            catalogue has none.
        rules: Which ids the user wants counted as one song, or as several; None counts ids as they are.
        playlists: Names of the user's playlists by id.
    """
    variants = rollups.track_ids.unique()
    numbers = variants.with_row_index("variant")
    variant = rollups.track_ids.join(numbers, on=variants.columns, how="left", nulls_equal=True, maintain_order="left")[
        "variant"
    ]
    days = rollups.tracks.select("date", variant.gather(rollups.tracks["track"]), "plays", "ms")
    named = numbers.filter(NAMED).select("track_id").unique()
    nameless = numbers.join(named, on="track_id", how="anti").select("variant", "track_id")
    own = own_names(numbers.join(named, on="track_id", how="semi").with_columns(pl.col(NAMES).fill_null("")), days)
    known, names = _identified_tracks(nameless, own, catalog.tracks, played_names)
    joined = SONGS_SCHEMA.to_frame() if rules is None else _songs(known, own, days, names, catalog.tracks, rules)
    known, repeats = _counted_by_song(known, joined), _shown_by_song(rollups.repeats, joined)
    of_artist = known.select("artist", "artist_id").unique().drop_nulls("artist")
    artists = _shown("artist", known, own, names, catalog.artists)
    albums = _shown("album", known, own, names, catalog.albums)
    of_variants, credited = credited_artists(known, artists, catalog)
    whole = rollups.days["whole"].all()
    in_sessions = rollups.session_tracks.select(
        "date", "ended_at", variant.gather(rollups.session_tracks["track"]), "plays"
    )
    sizes = album_sizes(catalog) if whole else {}
    return ListeningFrames(
        days=rollups.days,
        hours=rollups.hours,
        sessions=rollups.sessions,
        repeats=repeats,
        exclusions=rollups.exclusions,
        tracks=days,
        known=known.drop("artist_id", "album_id"),
        names=names,
        artists=artists,
        albums=albums,
        genres=_genres(of_artist.join(catalog.artists, on="artist_id", how="inner")),
        songs=joined,
        counts_songs=rules is not None,
        has_variants=not (own.is_empty() and joined.is_empty()),
        credits=of_variants,
        credited=credited,
        contexts=rollups.contexts if whole else rollups.contexts.clear(),
        context_names=context_names(playlists, albums, artists, credited),
        full_listens=full_listens(in_sessions, rollups.sessions, known["track_id"], catalog, sizes),
        album_sizes=sizes,
    )


def _songs(
    known: pl.DataFrame,
    own: pl.DataFrame,
    days: pl.DataFrame,
    names: pl.LazyFrame,
    catalog: pl.LazyFrame,
    rules: Rules,
) -> pl.DataFrame:
    """The ids that share a song with another one, as `songs.SONGS_SCHEMA`."""
    first = known.with_row_index("variant").join(own.filter(~pl.col("first")), on="variant", how="anti").lazy()
    # The entry of a track without a Spotify id is shared by all users: only the names in the plays count.
    facts = catalog.filter(~made_up(pl.col("track_id"))).select("track_id", "duration_ms", "isrc")
    tracks = (
        first.select("track_id", "artist_id")
        .join(names.select("track_id", *NAMES), on="track_id", how="left")
        .join(facts, on="track_id", how="left")
        .with_columns(pl.col("artist_id", *NAMES, "isrc").fill_null(""), pl.col("duration_ms").fill_null(0))
    )
    found = alike(tracks.collect(), rules)
    if found.is_empty():
        return SONGS_SCHEMA.to_frame()
    variants = known.with_row_index("variant").select("variant", "track_id")
    variants = variants.filter(pl.col("track_id").is_in(found["track_id"].implode()))
    heard = days.join(variants, on="variant", how="inner").group_by("track_id").agg(pl.col("plays", "ms").sum())
    return songs(found.join(heard, on="track_id", how="left").with_columns(pl.col("plays", "ms").fill_null(0)), rules)


def _counted_by_song(known: pl.DataFrame, joined: pl.DataFrame) -> pl.DataFrame:
    """The variants with the number of the one that shows their song, which has the features of any of its ids."""
    if joined.is_empty():
        return known
    variants = known.with_row_index("variant")
    members = variants.join(joined, on="track_id", how="inner").sort("song", "place", "variant")
    shown = members.filter(pl.col("place") == 0).select("song", shown="track").unique()
    measured = members.drop_nulls(AVERAGED_FEATURES[0]).unique("song", keep="first", maintain_order=True)
    counted = (
        members.drop("track", *AVERAGED_FEATURES)
        .join(shown.rename({"shown": "track"}), on="song", how="left")
        .join(measured.select("song", *AVERAGED_FEATURES), on="song", how="left")
    )
    others = variants.join(joined, on="track_id", how="anti")
    return pl.concat([others, counted.select(others.columns)]).sort("variant").drop("variant")


def _shown_by_song(repeats: pl.DataFrame, joined: pl.DataFrame) -> pl.DataFrame:
    """Repeats under the ids that show their songs. Two ids of one song in a row remain two repeats."""
    shown = pl.col("track_id").replace(joined["track_id"], joined["song"])
    return repeats if joined.is_empty() else repeats.with_columns(shown)


def _genres(artists: pl.DataFrame) -> pl.DataFrame:
    """The genres of artists in the spelling that joins all spellings, as in `ListeningFrames.genres`."""
    listed = artists.select("artist", genre="genres").explode("genre", empty_as_null=False).drop_nulls()
    if listed.is_empty():
        return listed
    spelled = listed["genre"].unique()
    joined = pl.Series("genre", [genre_name(name) for name in spelled], dtype=pl.String)
    return listed.with_columns(pl.col("genre").replace_strict(spelled, joined)).unique(maintain_order=True)


def _identified_tracks(
    nameless: pl.DataFrame, own: pl.DataFrame, catalog: pl.LazyFrame, played_names: Callable[[pl.Series], pl.DataFrame]
) -> tuple[pl.DataFrame, pl.LazyFrame]:
    """The variants as in `ListeningFrames.known`, with ``artist_id`` and ``album_id``, and `ListeningFrames.names`.

    Args:
        nameless: Variants identified by the id of their track: ``variant``, ``track_id``.
        own: Variants with names of their own, as `own_names` returns them.
        catalog: As in `identified`.
        played_names: As in `identified`.
    """
    whole = pl.all_horizontal(pl.col(IDS_AND_NAMES) != "")
    features = {name: (pl.col(name) * FEATURE_UNIT).round().cast(pl.Int64) for name in AVERAGED_FEATURES}
    found = catalog.select("track_id", "artist_id", "album_id", **features, whole=whole).collect()
    found = nameless.join(found, on="track_id", how="left").with_columns(pl.col("whole").fill_null(value=False))
    variants = found.filter("whole").drop("whole").with_columns(artist="artist_id", album="album_id")
    names = catalog.select("track_id", *NAMES, "image_url")
    partly = found.filter(~pl.col("whole"))
    if not (partly.is_empty() and own.is_empty()):
        named = _named(partly.select("variant", "track_id"), catalog, played_names)
        unknown = [pl.lit("").alias(name) for name in ("artist_id", "album_id", "image_url")]
        every = pl.concat([named, own.with_columns(unknown).select(named.columns)])
        completed = _completed(every, variants.select("track_id"), catalog)
        artist = pl.coalesce(_non_empty("artist_id"), pl.lit("name:") + _non_empty("artist_name"))
        by_names = pl.concat_str(pl.lit("name:"), "artist_name", pl.lit("\0"), _non_empty("album_name"))
        keys = completed.select(
            "variant",
            "track_id",
            "artist_id",
            "album_id",
            artist=artist,
            album=pl.coalesce(_non_empty("album_id"), by_names),
        )
        others = keys.join(partly.select("variant", *AVERAGED_FEATURES), on="variant", how="left")
        variants = pl.concat([variants, others.select(variants.columns)])
        some = pl.col("track_id").is_in(completed["track_id"].unique().implode())
        of_tracks = pl.concat([named, own.filter("first").with_columns(unknown).select(named.columns)])
        names = pl.concat([names.filter(~some), of_tracks.lazy().select("track_id", *NAMES, "image_url")])
    numbered = variants.sort("variant").with_columns(
        pl.col("artist", "album").cast(pl.Categorical).to_physical(),
        track=pl.col("variant").first().over("track_id") if own.height else pl.col("variant"),
    )
    return numbered.drop("variant"), names


def _named(
    variants: pl.DataFrame, catalog: pl.LazyFrame, played_names: Callable[[pl.Series], pl.DataFrame]
) -> pl.DataFrame:
    """Tracks with the names in the catalogue, or those of their last play where the catalogue has none."""
    some = pl.col("track_id").is_in(variants["track_id"].implode()) & ~made_up(pl.col("track_id"))
    known = catalog.filter(some).select("track_id", *IDS_AND_NAMES, "image_url").collect()
    texts = pl.exclude("variant", "track_id").fill_null("")
    tracks = variants.join(known, on="track_id", how="left").with_columns(texts)
    nameless = tracks.filter(pl.any_horizontal(pl.col(NAMES) == ""))["track_id"]
    if nameless.is_empty():
        return tracks
    return (
        tracks.join(played_names(nameless), on="track_id", how="left", suffix="_played")
        .with_columns(pl.coalesce(_non_empty(name), f"{name}_played", pl.lit("")).alias(name) for name in NAMES)
        .select(tracks.columns)
    )


def _completed(tracks: pl.DataFrame, others: pl.DataFrame, catalog: pl.LazyFrame) -> pl.DataFrame:
    """Tracks with the ids that their names mean, as far as these and other tracks of the user show it."""
    lacking = tracks.filter((pl.col("artist_id") == "") | (pl.col("album_id") == ""))["artist_name"].unique()
    alike = catalog.filter(pl.col("artist_name").is_in(lacking.implode())).select("track_id", *IDS_AND_NAMES).collect()
    every = pl.concat([alike.join(others, on="track_id", how="semi"), tracks.select(alike.columns)])
    for id_column, names in (("artist_id", ["artist_name"]), ("album_id", ["artist_name", "album_name"])):
        only = (
            every.filter(pl.col(id_column) != "")
            .group_by(names)
            .agg(pl.col(id_column).n_unique().alias("ids"), pl.col(id_column).first().alias("only"))
            .filter(pl.col("ids") == 1)
            .drop("ids")
        )
        completed = pl.coalesce(_non_empty(id_column), "only", pl.lit("")).alias(id_column)
        tracks = tracks.join(only, on=names, how="left").with_columns(completed).drop("only")
    return tracks


def _shown(
    key: str, known: pl.DataFrame, own: pl.DataFrame, names: pl.LazyFrame, catalog: pl.DataFrame
) -> pl.DataFrame:
    """How the artists or albums (`key`) of tracks are shown.

    Those that the catalogue does not know get the alphabetically last of the names in their tracks.
    """
    id_column, name_column = f"{key}_id", f"{key}_name"
    shown = known.drop_nulls(key).group_by(key).agg(pl.col(id_column).first()).join(catalog, on=id_column, how="left")
    nameless = shown.filter(pl.col("name").is_null())
    variants = known.with_row_index("variant").select("variant", "track_id", key)
    theirs = variants.join(nameless, on=key, how="semi").join(own, on="variant", how="anti")
    their_names = names.select("track_id", name_column).filter(pl.col("track_id").is_in(theirs["track_id"].implode()))
    named = [theirs.join(their_names.collect(), on="track_id", how="left").select(key, name_column)]
    named.append(variants.join(own, on="variant", how="inner").select(key, name_column))
    last = pl.concat(named).group_by(key).agg(pl.col(name_column).max())
    return shown.join(last, on=key, how="left").select(
        key,
        pl.col(id_column).alias("spotify_id"),
        pl.coalesce("name", name_column),
        pl.col("image_url").fill_null(""),
    )


def _non_empty(column: str) -> pl.Expr:
    return pl.when(pl.col(column) != "").then(pl.col(column))
