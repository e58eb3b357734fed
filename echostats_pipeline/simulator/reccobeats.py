"""Simulated ReccoBeats, the free source of audio features, under ``/reccobeats/v1``.

It knows a share of the tracks, and its values are close to Spotify's values. Belongs here: its one endpoint. Not here:
Spotify's own features (``api``).
"""

from dataclasses import asdict
from random import Random
from uuid import UUID

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from echostats_pipeline.simulator.bodies import Json
from echostats_pipeline.simulator.call import Site
from echostats_pipeline.simulator.catalogue import Track, draw_features
from echostats_pipeline.simulator.dice import chance
from echostats_pipeline.simulator.limits import Window
from echostats_pipeline.simulator.other_services import OtherService
from echostats_pipeline.simulator.world import World

MAX_IDS = 40  # further ids are ignored without an error
_SHARES = ("acousticness", "danceability", "energy", "instrumentalness", "liveness", "speechiness", "valence")
_TOO_MANY = 429


def _audio_features(request: Request, site: Site) -> Response:
    """GET /reccobeats/v1/audio-features?ids=: known tracks only, in another order than requested."""
    ids = [item_id for listed in request.query_params.getlist("ids") for item_id in listed.split(",") if item_id]
    if not ids:
        return JSONResponse({"error": "Required parameter 'ids' is not present", "status": 4001}, 400)
    known = (site.world.releases.tracks.get(item_id) for item_id in dict.fromkeys(ids[:MAX_IDS]))
    content = [
        _features(site.world, track)
        for track in known
        if track and chance(site.world.seed, "reccobeats", track.id) < site.controls.behaviour.reccobeats_share
    ]
    return JSONResponse({"content": sorted(content, key=lambda row: str(row["id"]))})


def _too_many(wait: int, _variant: str) -> Response:
    return JSONResponse({"error": "Too many requests", "status": 4291}, _TOO_MANY, headers={"Retry-After": str(wait)})


def _limit(site: Site) -> tuple[Window, int | None]:
    return site.controls.reccobeats, site.controls.behaviour.reccobeats_limit


def _features(world: World, track: Track) -> Json:
    rng = Random(f"{world.seed}/reccobeats/{track.id}")
    row_id = str(UUID(int=rng.getrandbits(128), version=4))
    own = asdict(world.releases.audio_features.get(track.id) or draw_features(rng))
    del own["time_signature"]
    close = {name: round(min(1.0, max(0.0, own[name] + rng.uniform(-0.02, 0.02))), 4) for name in _SHARES}
    return {
        "id": row_id,
        "href": f"https://open.spotify.com/track/{track.id}",
        "isrc": track.isrc,
        **own,
        **close,
        "loudness": round(min(0.0, own["loudness"] + rng.uniform(-0.5, 0.5)), 3),
        "tempo": round(own["tempo"] + rng.uniform(-0.5, 0.5), 3),
    }


RECCOBEATS_ROUTES = [
    OtherService("reccobeats", _limit, _too_many).route("/reccobeats/v1/audio-features", _audio_features)
]
