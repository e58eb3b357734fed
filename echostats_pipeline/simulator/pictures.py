"""Simulated image server: covers and portraits under ``/image``, the path of the addresses in `bodies`.

The addresses keep the host name of the real server, as an app receives them. A client that wants the picture of an
address requests the same path from this simulator. Belongs here: drawing. Not here: which objects have a picture
(``bodies``).
"""

from collections.abc import Mapping
from functools import lru_cache
from random import Random

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from echostats_pipeline.simulator.bodies import IMAGE_SIZES
from echostats_pipeline.simulator.call import Site
from echostats_pipeline.simulator.names import image_hash
from echostats_pipeline.simulator.world import World

QUALITY = 82
A_YEAR = "public, max-age=31536000"


def image(request: Request) -> Response:
    """GET /image/{hash}: a JPEG of the width that the object states; 404 for an unknown hash."""
    site: Site = request.app.state.site
    known = _known(site.world).get(request.path_params["hash"])
    if known is None:
        return Response(status_code=404)
    import vl_convert  # noqa: PLC0415 - it loads a renderer, and few users request pictures

    item_id, size = known
    content = vl_convert.svg_to_jpeg(drawn(item_id, size), quality=QUALITY)
    return Response(content, media_type="image/jpeg", headers={"Cache-Control": A_YEAR})


def drawn(item_id: str, size: int) -> str:
    """Draw the picture of an object as SVG; it is the same in every size."""
    rng = Random(f"{item_id}/picture")
    hue = rng.randrange(360)
    shades = [f"hsl({(hue + turn) % 360},{rng.randrange(35, 70)}%,{light}%)" for turn, light in _shades(rng)]
    shapes = "".join(rng.choice((_disc, _band, _arch))(rng, shade) for shade in shades[1:])
    ground = f'<rect width="100" height="100" fill="{shades[0]}"/>'
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{size}" height="{size}" viewBox="0 0 100 100">'
        f"{ground}{shapes}</svg>"
    )


def _shades(rng: Random) -> list[tuple[int, int]]:
    """Draw the turns of the hue with a lightness each: a ground, and three or four colours on it."""
    dark = rng.random() < 0.4  # noqa: PLR2004 - chosen by eye
    lights = [22, 48, 66, 82, 38] if dark else [84, 62, 44, 28, 72]
    return list(zip((0, 18, 170, 40, 200), lights[: rng.choice((4, 5))], strict=False))


def _disc(rng: Random, shade: str) -> str:
    x, y, radius = rng.randrange(10, 90), rng.randrange(15, 85), rng.randrange(12, 36)
    return f'<circle cx="{x}" cy="{y}" r="{radius}" fill="{shade}"/>'


def _band(rng: Random, shade: str) -> str:
    turn, height = rng.choice((0, 45, 90, 135)), rng.randrange(8, 24)
    top = rng.randrange(20, 70)
    return f'<rect x="-30" y="{top}" width="160" height="{height}" fill="{shade}" transform="rotate({turn} 50 50)"/>'


def _arch(rng: Random, shade: str) -> str:
    middle, radius = rng.randrange(20, 80), rng.randrange(16, 40)
    return f'<path d="M{middle - radius} 100a{radius} {radius * 1.3:.0f} 0 0 1 {2 * radius} 0z" fill="{shade}"/>'


@lru_cache(maxsize=2)
def _known(world: World) -> Mapping[str, tuple[str, int]]:
    """Return the object and the width in pixels of each picture, by hash."""
    catalogue = world.catalogue
    ids = [*catalogue.artists, *catalogue.albums, *(user.id for user in world.users)]
    return {image_hash(item_id, size): (item_id, size) for item_id in ids for size in IMAGE_SIZES}


PICTURE_ROUTES = [Route("/image/{hash}", image)]
