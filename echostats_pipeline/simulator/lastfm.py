"""Simulated Last.fm under ``/lastfm/2.0``: the top tags of an artist, with Last.fm's errors.

Belongs here: its one method. Not here: what listeners know of artists (``fame``).
"""

from collections.abc import Mapping
from functools import cache
from urllib.parse import quote_plus

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from echostats_pipeline.simulator.call import Site
from echostats_pipeline.simulator.catalogue import Artist
from echostats_pipeline.simulator.dice import chance
from echostats_pipeline.simulator.fame import mbid, votes
from echostats_pipeline.simulator.limits import Window
from echostats_pipeline.simulator.other_services import OtherService
from echostats_pipeline.simulator.world import World

WRONG_KEY = "wrong"
"""A key that is not accepted; every other key is."""
_SPELLINGS = {"hip hop": "Hip-Hop"}
_CLOSE_ODDS = 0.5


def _method(request: Request, site: Site) -> Response:
    """GET /2.0/?method=artist.getTopTags: by ``mbid`` or by ``artist``."""
    asked = request.query_params
    if asked.get("api_key", WRONG_KEY) == WRONG_KEY:
        return _error(10, "Invalid API key - You must be granted a valid key by last.fm", 403)
    if asked.get("method", "").lower() != "artist.gettoptags":
        return _error(3, "Invalid Method - No method with that name in this package", 400)
    if asked.get("format") != "json":
        return Response('<lfm status="ok"></lfm>', media_type="text/xml")
    if not asked.get("mbid") and not asked.get("artist"):
        return _error(6, "Invalid parameters - Your request is missing a required parameter", 400)
    artist = _found(site, asked.get("mbid", ""), asked.get("artist", ""))
    if artist is None:
        return _error(6, "The artist you supplied could not be found", 200)
    counted = votes(site.world, artist)
    most = max(counted.values(), default=1)
    tags = [
        {"name": _spelled(tag), "count": round(100 * count / most), "url": f"https://www.last.fm/tag/{quote_plus(tag)}"}
        for tag, count in counted.items()
    ]
    return JSONResponse({"toptags": {"tag": tags, "@attr": {"artist": artist.name}}})


def _found(site: Site, wanted_mbid: str, name: str) -> Artist | None:
    by_mbid, by_name = _known(site.world)
    artist = by_mbid.get(wanted_mbid) if wanted_mbid else by_name.get(name.casefold())
    known = artist and chance(site.world.seed, "lastfm", artist.id) < site.controls.behaviour.lastfm_share
    # Last.fm has the MusicBrainz ids of some artists only; the others are found by name.
    if known and artist and wanted_mbid and chance(site.world.seed, "lastfm-mbid", artist.id) < _CLOSE_ODDS:
        return None
    return artist if known else None


@cache
def _known(world: World) -> tuple[Mapping[str, Artist], Mapping[str, Artist]]:
    artists = world.catalogue.artists.values()
    return {mbid(world, each): each for each in artists}, {each.name.casefold(): each for each in artists}


def _spelled(tag: str) -> str:
    """Last.fm's users write tags in several ways."""
    for plain, spelling in _SPELLINGS.items():
        tag = tag.replace(plain, spelling)
    return tag


def _error(number: int, message: str, status: int) -> Response:
    return JSONResponse({"error": number, "message": message, "links": []}, status)


def _too_fast(_wait: int, variant: str) -> Response:
    message = "Rate Limit Exceeded - Your IP has made too many requests in a short period"
    return _error(29, message, 200 if variant in {"zero", "missing"} else 429)


def _limit(site: Site) -> tuple[Window, int | None]:
    return site.controls.lastfm, site.controls.behaviour.lastfm_limit


LASTFM_ROUTES = [OtherService("lastfm", _limit, _too_fast).route("/lastfm/2.0", _method)]
