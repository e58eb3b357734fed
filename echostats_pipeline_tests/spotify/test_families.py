import pytest
from hypothesis import given
from hypothesis import strategies as st

from echostats_pipeline.spotify.families import family_of, rate_limit_of
from echostats_pipeline.spotify.transport import Request

FAMILIES = [
    ("/v1/me/player/recently-played", "recently-played"),
    ("/v1/tracks", "tracks"),
    ("/v1/tracks/", "tracks"),
    ("/v1/tracks/02MWAaffLxlfxAUY7c5dvx", "tracks"),
    ("/v1/artists", "artists"),
    ("/v1/artists/4yvcSjfu4PC0CYQyLy4wSq", "artists"),
    ("/v1/albums", "albums"),
    ("/v1/albums/0KTj6k94XZh0c6IEMfxeWV/tracks", "albums"),
    ("/v1/audio-features", "audio-features"),
    ("/v1/audio-features/02MWAaffLxlfxAUY7c5dvx", "audio-features"),
    ("/v1/me/playlists", "playlists"),
    ("/v1/playlists/p1/items", "playlists"),
    ("/v1/me/tracks", "saved-tracks"),
    ("/v1/me/top/artists", "top-items"),
    ("/v1/me", "me"),
    ("/v1/me/", "me"),
    ("/api/token", "token"),
    ("/v1/me/albums", "other"),
    ("/v1/tracksuit", "other"),
    ("/", "other"),
]


@pytest.mark.parametrize(("path", "family"), FAMILIES)
def test_the_path_names_the_family(path: str, family: str) -> None:
    assert family_of(path) == family
    assert Request("GET", f"http://127.0.0.1:8000{path}?limit=50", params={"ids": "a"}).family == family


@pytest.mark.parametrize("path", ["/v1/audio-features", "/v1/track"])
def test_reccobeats_is_one_family_whatever_its_paths(path: str) -> None:
    assert Request("GET", f"https://api.reccobeats.com{path}", service="reccobeats").family == "reccobeats"


@given(st.text())
def test_every_path_has_a_family(path: str) -> None:
    assert rate_limit_of(family_of(path)) in ("app", "token")


def test_the_web_api_has_one_rate_limit_and_its_neighbours_their_own() -> None:
    assert {rate_limit_of(family_of(path)) for path, _ in FAMILIES if path != "/api/token"} == {"app"}
    assert (rate_limit_of("token"), rate_limit_of("reccobeats")) == ("token", "reccobeats")
