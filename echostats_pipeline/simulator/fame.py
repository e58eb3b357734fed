"""What listeners elsewhere know of the artists: MusicBrainz ids, and tags with the noise of a folksonomy.

Pure. Belongs here: facts that MusicBrainz and Last.fm have and Spotify does not. Not here: their JSON forms
(``musicbrainz``, ``lastfm``).
"""

import hashlib
from collections.abc import Mapping
from functools import cache
from uuid import UUID

from echostats_pipeline.simulator.catalogue import Artist
from echostats_pipeline.simulator.dice import chance
from echostats_pipeline.simulator.names import GENRES
from echostats_pipeline.simulator.world import World

NOISE = ("seen live", "favourites", "2010s", "90s", "swedish", "female vocalists", "spotify", "awesome")
"""Tags that are no genres."""
LISTED_GENRES = tuple(sorted({*GENRES, "electronic", "r&b", "k-pop", "lo-fi", "post-punk", "singer-songwriter"}))
"""What MusicBrainz calls genres."""
_LUCK = 0.25
"""How much of fame is chance; popularity is the rest, 0 to 1."""
_UNTAGGED = 0.06
"""Share of artists without tags among the least known; among the best known, all have some."""
_MOST_VOTES = 12


@cache
def standing(world: World) -> Mapping[str, float]:
    """The place of each artist among all, by id: 0 for the best known, 1 for the least known.

    An artist is in MusicBrainz because somebody there listens to it. So popular artists are known rather than others.
    """
    artists = list(world.catalogue.artists.values())
    fame = {each.id: each.popularity / 100 + _LUCK * chance(world.seed, "fame", each.id) for each in artists}
    ranked = sorted(fame, key=lambda artist_id: (-fame[artist_id], artist_id))
    return {artist_id: place / len(ranked) for place, artist_id in enumerate(ranked)}


def mbid(world: World, artist: Artist) -> str:
    """The id of an artist at MusicBrainz."""
    return str(
        UUID(bytes=hashlib.blake2b(f"{world.seed}/mbid/{artist.id}".encode(), digest_size=16).digest(), version=4)
    )


def is_linked(world: World, artist: Artist, share: float) -> bool:
    """Whether MusicBrainz links the artist to Spotify, if it does so for this share of all artists."""
    return standing(world)[artist.id] < share


def votes(world: World, artist: Artist) -> dict[str, int]:
    """Tags of an artist with votes, the most first; some artists have none, and no list is free of noise."""
    if chance(world.seed, "untagged", artist.id) < _UNTAGGED * standing(world)[artist.id]:
        return {}
    genres = artist.genres or (GENRES[int(chance(world.seed, "genre", artist.id) * len(GENRES))],)
    found = {
        genre: 1 + int(_MOST_VOTES * chance(world.seed, "votes", artist.id, genre) / (place + 1))
        for place, genre in enumerate(genres)
    }
    for tag in NOISE:
        drawn = chance(world.seed, "noise", artist.id, tag)
        if drawn < 1 / len(NOISE):
            found[tag] = 1 + int(_MOST_VOTES * drawn)
    return dict(sorted(found.items(), key=lambda each: (-each[1], each[0])))
