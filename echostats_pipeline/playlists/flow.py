"""Makes chosen songs flow: exchanges some for others that are nearly as good and fit better, and puts them in order.

Belongs here: which exchanges are allowed, and the search for them. Not here: scores (`candidates`) and the search for
an order (`ordering`).
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from echostats_pipeline.model.playlists import Arc
from echostats_pipeline.playlists.candidates import Chosen
from echostats_pipeline.playlists.ordering import (
    MOST_SEARCHED,
    Costs,
    Floats,
    Numbers,
    Sound,
    better_order,
    flowing_order,
)
from echostats_pipeline.playlists.picking import SPARE_MINUTES, Wanted
from echostats_pipeline.playlists.pool import features_of

Truths = npt.NDArray[np.bool_]

SCORE_WEIGHT = 3.0
"""What a lost point of score costs, against distances between neighbours."""
MOST_LOST = 0.03
"""The share of its score that a playlist may lose for its flow."""
ROUNDS = 6


@dataclass(frozen=True, eq=False)
class Exchanges:
    """The songs that a playlist may be made of, and which of them may take the place of which.

    Attributes:
        sound: How they sound, and whose they are.
        scores: How good they are.
        lengths_ms: How long they are.
        allowed: Whether the song of the row may take the place of the song of the column.
        per_artist: Most songs of an artist.
        least_ms: The shortest duration of the playlist.
        most_ms: Its longest.
    """

    sound: Sound
    scores: Floats
    lengths_ms: Numbers
    allowed: Truths
    per_artist: int
    least_ms: float
    most_ms: float

    def possible(self, order: Numbers, least_score: float) -> Truths:
        """By place and song: whether the song may stand there instead of the one that does."""
        artists, here = self.sound.artists, self.sound.artists[order]
        same = here[:, None] == artists[None, :]
        found = self.allowed.T[order].copy()
        found[:, order] = False
        found &= same.sum(axis=0)[None, :] - same < self.per_artist
        scores = self.scores[order].sum() - self.scores[order][:, None] + self.scores[None, :]
        lengths = self.lengths_ms[order].sum() - self.lengths_ms[order][:, None] + self.lengths_ms[None, :]
        return np.asarray(
            found & (scores >= least_score) & (lengths >= self.least_ms) & (lengths <= self.most_ms), dtype=np.bool_
        )


def flowing_songs(chosen: Chosen, wanted: Wanted) -> pl.DataFrame:
    """The songs of a playlist in a flowing order; some are exchanged for others that were considered.

    Another song is as much within what was asked, as new to the user where a share of new songs is asked for, and does
    not break the limits of duration and artists. A playlist that is shorter than asked keeps its songs.
    """
    songs, arc = chosen.candidates, wanted.arc
    place_of = {track_id: place for place, track_id in enumerate(songs["track_id"])}
    taken = np.array([place_of[each] for each in chosen.songs["track_id"]], dtype=np.int64)
    sound = sound_of(songs)
    order = taken[flowing_order(_part(sound, taken), arc)]
    if chosen.note or not 2 < len(taken) <= MOST_SEARCHED:  # noqa: PLR2004 - two songs have one distance
        return _in_order(songs, order)
    lengths = songs["duration_ms"].to_numpy()
    longest = float("inf") if wanted.minutes is None else wanted.minutes * 60_000
    exchanges = Exchanges(
        sound,
        songs["score"].to_numpy(),
        lengths,
        _allowed(songs, wanted),
        chosen.per_artist,
        0.0 if wanted.minutes is None else min(float(lengths[taken].sum()), longest - SPARE_MINUTES * 60_000),
        longest,
    )
    return _in_order(songs, exchanged(order, exchanges, arc))


def exchanged(order: Numbers, exchanges: Exchanges, arc: Arc) -> Numbers:
    """Exchange songs while the flow gains more than the scores lose, and order them again; places in `exchanges`."""
    scores = exchanges.scores
    least_score = scores[order].sum() - MOST_LOST * abs(scores[order].sum())
    costs = Costs.of_songs(exchanges.sound, order, arc)
    for _ in range(ROUNDS):
        found = _with_exchanges(order, exchanges, costs, least_score)
        if (found == order).all():
            break
        order = better_order(found, costs)
    again = order[flowing_order(_part(exchanges.sound, order), arc)]
    both = np.array([order, again])
    return np.asarray(both[int(np.argmin(costs.of(both)))])


def _with_exchanges(order: Numbers, exchanges: Exchanges, costs: Costs, least_score: float) -> Numbers:
    """Exchange one song at a time, the most useful first, each for another at its place."""
    order = order.copy()
    places = np.arange(len(order))
    while True:
        cost = costs.at_places(order) - SCORE_WEIGHT * exchanges.scores[None, :]
        gain = cost - cost[places, order][:, None]
        gain[~exchanges.possible(order, least_score)] = np.inf
        place, song = np.unravel_index(int(gain.argmin()), gain.shape)
        if not gain[place, song] < -1e-9:  # noqa: PLR2004 - rounding
            return order
        order[place] = song


def _allowed(songs: pl.DataFrame, wanted: Wanted) -> Truths:
    """Whether the song of the row may take the place of the song of the column."""
    within = songs["in_ranges"].to_numpy()
    stays = songs["pinned"].to_numpy()
    found = (within[:, None] >= within[None, :]) & ~stays[None, :]
    if wanted.discover is not None:
        new = (songs["plays"] + songs["skips"] == 0).to_numpy()
        found &= new[:, None] == new[None, :]
    return np.asarray(found, dtype=np.bool_)


def sound_of(songs: pl.DataFrame) -> Sound:
    """What the order of songs depends on."""
    artists = songs.select(pl.col("artist_name").rank("dense").cast(pl.Int64)).to_series().to_numpy()
    return Sound(
        features_of(songs),
        songs["key"].fill_null(-1).cast(pl.Int64).to_numpy(),
        songs["mode"].fill_null(1).cast(pl.Int64).to_numpy(),
        artists,
    )


def _in_order(songs: pl.DataFrame, places: Numbers) -> pl.DataFrame:
    return songs.select(pl.all().gather(places))


def _part(sound: Sound, places: Numbers) -> Sound:
    return Sound(sound.features[places], sound.keys[places], sound.modes[places], sound.artists[places])
