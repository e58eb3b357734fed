"""Pictures: served at every address in an object, with the stated width, the same every time."""

from io import BytesIO
from urllib.parse import urlsplit

import requests
from PIL import Image

from echostats_pipeline.simulator.running import RunningSimulator
from echostats_pipeline.simulator.world import World
from echostats_pipeline_tests.simulator.conftest import Get


def picture(simulator: RunningSimulator, url: str) -> requests.Response:
    return requests.get(f"{simulator.base_url}{urlsplit(url).path}", timeout=10)


def test_every_size_of_an_artist_and_an_album_is_served(simulator: RunningSimulator, world: World, get: Get) -> None:
    for kind, items in (("artists", world.catalogue.artists), ("albums", world.catalogue.albums)):
        images = get(f"/{kind}/{next(iter(items))}").json()["images"]
        assert [image["width"] for image in images] == [640, 300, 64]
        for image in images:
            assert urlsplit(image["url"]).hostname == "i.scdn.co"
            answer = picture(simulator, image["url"])
            assert answer.headers["Content-Type"] == "image/jpeg"
            with Image.open(BytesIO(answer.content)) as shown:
                assert (shown.format, shown.size) == ("JPEG", (image["width"], image["height"]))


def test_things_look_different_and_always_the_same(simulator: RunningSimulator, world: World, get: Get) -> None:
    urls = [get(f"/artists/{artist}").json()["images"][2]["url"] for artist in list(world.catalogue.artists)[:8]]
    first = [picture(simulator, url).content for url in urls]
    assert len(set(first)) == 8
    assert [picture(simulator, url).content for url in urls] == first


def test_what_nobody_names_is_not_there(simulator: RunningSimulator) -> None:
    assert picture(simulator, f"https://i.scdn.co/image/{'0' * 40}").status_code == 404
