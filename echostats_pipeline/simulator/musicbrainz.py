"""Simulated MusicBrainz under ``/musicbrainz/ws/2``: links of artists, tags by search and by id, the list of genres.

It knows a share of the artists, takes one call a second, and refuses clients that do not say who they are. Belongs
here: its endpoints. Not here: what it knows (``fame``).
"""

import re
from collections.abc import Callable, Mapping
from functools import cache

from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response

from echostats_pipeline.simulator.bodies import Json
from echostats_pipeline.simulator.call import Site
from echostats_pipeline.simulator.catalogue import Artist
from echostats_pipeline.simulator.fame import LISTED_GENRES, is_linked, mbid, votes
from echostats_pipeline.simulator.limits import Window
from echostats_pipeline.simulator.other_services import OtherService
from echostats_pipeline.simulator.world import World

MAX_RESOURCES, MAX_LIMIT, DEFAULT_LIMIT = 100, 100, 25
_HELP = "For usage, please see: https://musicbrainz.org/development/mmd"
_ANONYMOUS = ("python-requests", "python-urllib", "curl", "java", "okhttp")
Answer = Callable[[Request, Site], Response]
_LINK = re.compile(r"https://open\.spotify\.com/artist/([0-9A-Za-z]{22})")


def _url(request: Request, site: Site) -> Response:
    """GET /ws/2/url?resource=: one link gives an object or 404, several give those that are known."""
    links = request.query_params.getlist("resource")
    if not links:
        return _error(400, "Either an MBID or a 'resource' is required.")
    if len(links) > MAX_RESOURCES:
        return _error(400, f"At most {MAX_RESOURCES} resources can be looked up at once.")
    found = [body for link in dict.fromkeys(links) if (body := _link(request, site, link)) is not None]
    if len(links) > 1:
        return JSONResponse({"urls": found})
    return JSONResponse(found[0]) if found else _error(404, "Not Found")


def _link(request: Request, site: Site, link: str) -> Json | None:
    match = _LINK.fullmatch(link)
    artist = site.world.catalogue.artists.get(match[1]) if match else None
    if artist is None or not is_linked(site.world, artist, site.controls.behaviour.musicbrainz_share):
        return None
    body: Json = {"id": mbid(site.world, artist)[::-1], "resource": link}
    if "artist-rels" in _included(request):
        named = {"id": mbid(site.world, artist), "name": artist.name, "sort-name": artist.name, "disambiguation": ""}
        body["relations"] = [
            {
                "type": "free streaming",
                "target-type": "artist",
                "direction": "backward",
                "ended": False,
                "artist": named,
            }
        ]
    return body


def _search(request: Request, site: Site) -> Response:
    """GET /ws/2/artist?query=arid:A OR arid:B: the artists with their tags, in the order of their ids."""
    query = request.query_params.get("query")
    if not query:
        return _error(400, "A query is required.")
    limit = int(request.query_params.get("limit", DEFAULT_LIMIT))
    if not 1 <= limit <= MAX_LIMIT:
        limit = DEFAULT_LIMIT
    wanted = sorted(set(re.findall(r"arid:([0-9a-f-]{36})", query)))
    known = _by_mbid(site.world)
    found = [known[each] for each in wanted if each in known]
    artists = [
        {"id": mbid(site.world, artist), "score": 100, "name": artist.name, "tags": _tags(site, artist)}
        for artist in found[:limit]
    ]
    for artist in artists:
        if not artist["tags"]:
            del artist["tags"]
    return JSONResponse({"count": len(found), "offset": 0, "artists": artists})


def _artist(request: Request, site: Site) -> Response:
    """GET /ws/2/artist/MBID?inc=genres+tags."""
    artist = _by_mbid(site.world).get(request.path_params["mbid"])
    if artist is None:
        return _error(404, "Not Found")
    body: Json = {"id": mbid(site.world, artist), "name": artist.name}
    tags = _tags(site, artist)
    if "tags" in _included(request):
        body["tags"] = tags
    if "genres" in _included(request):
        body["genres"] = [tag for tag in tags if tag["name"] in LISTED_GENRES]
    return JSONResponse(body)


def _genres(request: Request, _site: Site) -> Response:
    """GET /ws/2/genre/all?fmt=txt: every name in a line of its own."""
    if request.query_params.get("fmt") != "txt":
        return _error(406, "Only fmt=txt is simulated.")
    return PlainTextResponse("\n".join(LISTED_GENRES))


def _tags(site: Site, artist: Artist) -> list[Json]:
    return [{"name": name, "count": count} for name, count in votes(site.world, artist).items()]


@cache
def _by_mbid(world: World) -> Mapping[str, Artist]:
    return {mbid(world, artist): artist for artist in world.catalogue.artists.values()}


def _included(request: Request) -> set[str]:
    return set(request.query_params.get("inc", "").split())


def _error(status: int, message: str) -> Response:
    return JSONResponse({"error": message, "help": _HELP}, status)


def _too_fast(_wait: int, _variant: str) -> Response:
    return _error(503, "Your requests are exceeding the allowable rate limit.")


def _limit(site: Site) -> tuple[Window, int | None]:
    return site.controls.musicbrainz, site.controls.behaviour.musicbrainz_limit


def _named(answer: Answer) -> Answer:
    """An endpoint that answers only clients with a User-Agent of their own."""

    def named(request: Request, site: Site) -> Response:
        agent = request.headers.get("User-Agent", "").lower()
        if not agent or agent.startswith(_ANONYMOUS):
            return _error(403, "Your application has not identified itself.")
        return answer(request, site)

    return named


_SERVICE = OtherService("musicbrainz", _limit, _too_fast)
MUSICBRAINZ_ROUTES = [
    _SERVICE.route("/musicbrainz/ws/2/url", _named(_url)),
    _SERVICE.route("/musicbrainz/ws/2/artist", _named(_search)),
    _SERVICE.route("/musicbrainz/ws/2/artist/{mbid}", _named(_artist)),
    _SERVICE.route("/musicbrainz/ws/2/genre/all", _named(_genres)),
]
