"""Every endpoint: its responses, its paging, and what it refuses."""

from collections import Counter
from datetime import datetime
from typing import Any

import pytest
import requests

from echostats_pipeline.simulator.people import SimulatedUser
from echostats_pipeline.simulator.running import RunningSimulator
from echostats_pipeline.simulator.world import World
from echostats_pipeline_tests.simulator.conftest import NOW, Get, connect

RECENT = "/me/player/recently-played"
PAGE_KEYS = {"href", "items", "limit", "next", "offset", "previous", "total"}


def follow(get: Get, simulator: RunningSimulator, url: str) -> dict[str, Any]:
    """The page behind an absolute address, which must be on the simulator itself."""
    assert url.startswith(f"{simulator.base_url}/v1/")
    response = get(url.removeprefix(f"{simulator.base_url}/v1"))
    response.raise_for_status()
    return response.json()


def all_rows(get: Get, simulator: RunningSimulator, path: str, **params: object) -> list[Any]:
    page = get(path, **params).json()
    rows = list(page["items"])
    while page["next"]:
        page = follow(get, simulator, page["next"])
        rows += page["items"]
    assert len(rows) == page["total"]
    return rows


def error(response: requests.Response) -> tuple[int, str]:
    body = response.json()
    assert body["error"]["status"] == response.status_code
    return response.status_code, body["error"]["message"]


def test_me_is_the_user_who_consented(get: Get, user: SimulatedUser) -> None:
    body = get("/me").json()
    assert (body["id"], body["account_id"], body["display_name"]) == (user.id, user.account_id, user.display_name)
    assert (body["country"], body["product"], body["email"]) == (user.country, user.product, user.email)


def test_me_without_scopes_keeps_the_private_fields_back(simulator: RunningSimulator, world: World) -> None:
    token = connect(simulator, world.users[1].id, scope="")["access_token"]
    headers = {"Authorization": f"Bearer {token}"}
    body = requests.get(f"{simulator.base_url}/v1/me", headers=headers, timeout=10).json()
    assert body["images"] == []
    assert not body.keys() & {"country", "product", "email", "explicit_content"}


@pytest.mark.parametrize("path", ["/me/", "/me/player/recently-played/", "/me/top/artists/"])
def test_a_trailing_slash_changes_nothing(get: Get, path: str) -> None:
    assert get(path).json() == get(path.rstrip("/")).json()


def test_recently_played_is_newest_first_with_string_cursors(get: Get, simulator: RunningSimulator) -> None:
    body = get(RECENT, limit=50).json()
    assert body.keys() == {"items", "next", "cursors", "limit", "href"}
    stamps = [item["played_at"] for item in body["items"]]
    assert stamps == sorted(stamps, reverse=True)
    assert len(stamps) == 50
    assert all(stamp.endswith("Z") and len(stamp) == len("2021-10-25T05:13:13.658Z") for stamp in stamps)
    assert body["cursors"] == {"after": _unix_ms(stamps[0]), "before": _unix_ms(stamps[-1])}
    assert body["next"] == f"{simulator.base_url}/v1{RECENT}?before={_unix_ms(stamps[-1])}&limit=50"
    assert datetime.fromisoformat(stamps[0]) <= NOW


def test_recently_played_ends_with_an_empty_page_after_fifty(get: Get, simulator: RunningSimulator) -> None:
    page, rows, pages = get(RECENT).json(), [], 0
    while page["items"]:
        rows += page["items"]
        pages += 1
        page = follow(get, simulator, page["next"])
    assert (len(rows), pages) == (50, 3)
    assert page == {"items": [], "next": None, "cursors": None, "limit": 20, "href": page["href"]}
    assert len({row["played_at"] for row in rows}) == 50


def test_recently_played_cursors_are_exclusive(get: Get) -> None:
    everything = get(RECENT, limit=50).json()["items"]
    tenth = _unix_ms(everything[9]["played_at"])
    assert get(RECENT, limit=50, after=tenth).json()["items"] == everything[:9]
    assert get(RECENT, limit=50, before=tenth).json()["items"] == everything[10:]
    assert get(RECENT, before=0).json()["cursors"] is None


def test_recently_played_never_shows_private_short_or_spoken(get: Get, world: World, user: SimulatedUser) -> None:
    shown = get(RECENT, limit=50).json()["items"]
    truth = {play.played_at: play for play in world.recently_played(user, NOW)}
    for item in shown:
        play = truth[datetime.fromisoformat(item["played_at"])]
        assert item["track"]["id"] == play.track.id
        assert play.ms_played >= 30_000
        assert not play.private
        assert (item["context"] or {}).get("uri") == (play.context.uri if play.context else None)


def test_contexts_name_what_was_played_from(get: Get, simulator: RunningSimulator) -> None:
    contexts = [item["context"] for item in get(RECENT, limit=50).json()["items"] if item["context"]]
    assert contexts
    for context in contexts:
        assert context.keys() == {"type", "href", "external_urls", "uri"}
        assert context["type"] in {"album", "artist", "playlist", "collection"}
        if context["type"] != "collection":
            assert get(context["href"].removeprefix(f"{simulator.base_url}/v1")).json()["uri"] == context["uri"]


@pytest.mark.parametrize("limit", [0, 51, -1, "x", ""])
@pytest.mark.parametrize("path", [RECENT, "/me/tracks", "/me/top/tracks", "/me/playlists"])
def test_a_limit_out_of_bounds_is_invalid(get: Get, path: str, limit: object) -> None:
    assert error(get(path, limit=limit)) == (400, "Invalid limit")


def test_after_and_before_exclude_each_other(get: Get) -> None:
    assert get(RECENT, after=1, before=2).status_code == 400


def test_liked_songs_page_to_their_end(
    get: Get, simulator: RunningSimulator, world: World, user: SimulatedUser
) -> None:
    rows = all_rows(get, simulator, "/me/tracks", limit=50)
    assert [row["track"]["id"] for row in rows] == [saved.track.id for saved in world.saved_tracks(user, NOW)]
    middle = get("/me/tracks", limit=10, offset=20).json()
    assert middle.keys() == PAGE_KEYS
    assert middle["items"] == rows[20:30]
    assert follow(get, simulator, middle["previous"])["items"] == rows[10:20]
    assert get("/me/tracks", offset=100_000).json()["items"] == []


@pytest.mark.parametrize("time_range", ["short_term", "medium_term", "long_term"])
def test_top_lists_follow_the_world(get: Get, world: World, user: SimulatedUser, time_range: Any) -> None:
    tracks = get("/me/top/tracks", limit=50, time_range=time_range).json()
    assert [item["id"] for item in tracks["items"]] == [t.id for t in world.top_tracks(user, time_range, NOW)]
    artists = get("/me/top/artists", limit=50, time_range=time_range).json()
    assert [item["id"] for item in artists["items"]] == [a.id for a in world.top_artists(user, time_range, NOW)]
    assert f"time_range={time_range}" in get("/me/top/tracks", limit=5, time_range=time_range).json()["next"]


def test_top_lists_default_to_the_medium_term(get: Get) -> None:
    assert get("/me/top/tracks").json()["items"] == get("/me/top/tracks", time_range="medium_term").json()["items"]
    assert get("/me/top/tracks", time_range="forever").status_code == 400
    assert get("/me/top/tracks", offset=50).json()["items"] == []


def test_playlists_are_listed_and_their_rows_add_up(get: Get, simulator: RunningSimulator, user: SimulatedUser) -> None:
    listed = all_rows(get, simulator, "/me/playlists", limit=3)
    assert {playlist["owner"]["id"] == user.id for playlist in listed} == {True, False}
    for playlist in listed:
        assert playlist["items"]["total"] == playlist["tracks"]["total"]
        rows = all_rows(get, simulator, f"/playlists/{playlist['id']}/items", limit=50)
        old_rows = all_rows(get, simulator, f"/playlists/{playlist['id']}/tracks", limit=100)
        assert len(rows) == len(old_rows) == playlist["items"]["total"]
        assert [row["item"] for row in rows] == [row["track"] for row in rows] == [row["track"] for row in old_rows]
        assert all("item" not in row for row in old_rows)


def test_a_full_playlist_embeds_a_hundred_rows_and_leads_on(get: Get, simulator: RunningSimulator) -> None:
    longest = max(get("/me/playlists").json()["items"], key=lambda playlist: playlist["items"]["total"])
    full = get(f"/playlists/{longest['id']}").json()
    for name in ("items", "tracks"):
        page = full[name]
        assert len(page["items"]) == page["limit"] == 100
        rest = follow(get, simulator, page["next"])
        assert rest["offset"] == 100
        assert rest["items"]
    assert full["snapshot_id"] == longest["snapshot_id"]


def test_local_files_and_removed_tracks_stand_in_a_playlist(get: Get, simulator: RunningSimulator) -> None:
    first = get("/me/playlists").json()["items"][0]
    rows = all_rows(get, simulator, f"/playlists/{first['id']}/items")
    kinds = Counter("removed" if row["item"] is None else row["is_local"] for row in rows)
    assert kinds == {False: 160, True: 3, "removed": 1}
    local = next(row["item"] for row in rows if row["is_local"])
    assert local["id"] is None
    assert local["uri"].startswith("spotify:local:")


def test_a_private_playlist_is_seen_by_its_owner_only(get: Get, world: World, user: SimulatedUser) -> None:
    private = {number: world.libraries[world.users[number].id].playlists[1].id for number in (0, 1)}
    assert get(f"/playlists/{private[0]}").json()["public"] is False
    assert error(get(f"/playlists/{private[1]}")) == (404, "Resource not found")
    assert error(get(f"/playlists/{private[1]}/items")) == (404, "Resource not found")


@pytest.mark.parametrize(("kind", "at_most"), [("tracks", 50), ("artists", 50), ("albums", 20)])
def test_catalogue_batches_keep_the_order_and_null_what_is_unknown(
    get: Get, world: World, kind: str, at_most: int
) -> None:
    known = list(getattr(world.catalogue, kind))[:at_most]
    asked = [*known[: at_most - 1][::-1], "0" * 22]
    answered = get(f"/{kind}", ids=",".join(asked)).json()[kind]
    assert [item and item["id"] for item in answered] == [*asked[:-1], None]
    assert answered[0] == get(f"/{kind}/{asked[0]}").json()
    assert error(get(f"/{kind}", ids=",".join(["0" * 22] * (at_most + 1)))) == (400, "Too many ids requested")
    assert get(f"/{kind}").status_code == 400
    assert error(get(f"/{kind}/{'0' * 22}")) == (404, "Resource not found")
    assert error(get(f"/{kind}/not-an-id")) == (400, "Invalid base62 id")


def test_unmeasured_tracks_are_null_in_a_batch_and_not_found_alone(get: Get, world: World) -> None:
    measured = world.catalogue.audio_features
    unknown = [track_id for track_id in world.catalogue.tracks if track_id not in measured][:3]
    known = list(measured)[:97]
    answered = get("/audio-features", ids=",".join([*known, *unknown])).json()["audio_features"]
    assert [item and item["id"] for item in answered] == [*known, None, None, None]
    assert answered[0] == get(f"/audio-features/{known[0]}").json()
    assert error(get(f"/audio-features/{unknown[0]}")) == (404, "Resource not found")
    assert error(get("/audio-features", ids=",".join(["0" * 22] * 101))) == (400, "Too many ids requested")


def test_an_album_lists_its_tracks(get: Get, world: World, simulator: RunningSimulator) -> None:
    album_id, tracks = next(iter(world.catalogue.album_tracks.items()))
    embedded = get(f"/albums/{album_id}").json()["tracks"]
    assert [item["id"] for item in embedded["items"]] == [track.id for track in tracks]
    assert follow(get, simulator, embedded["href"])["items"] == embedded["items"]
    assert len(all_rows(get, simulator, f"/albums/{album_id}/tracks", limit=3)) == len(tracks)


@pytest.mark.parametrize(
    ("header", "status", "message", "challenge"),
    [
        (None, 401, "No token provided", "missing_token"),
        ("Bearer garbled", 401, "Invalid access token", "invalid_token"),
        ("Basic abc", 400, "Only valid bearer authentication supported", "invalid_request"),
        ("Bearer", 400, "Only valid bearer authentication supported", "invalid_request"),
    ],
)
def test_a_call_without_a_good_token_is_refused(
    simulator: RunningSimulator, header: str | None, status: int, message: str, challenge: str
) -> None:
    headers = {} if header is None else {"Authorization": header}
    response = requests.get(f"{simulator.base_url}/v1/me", headers=headers, timeout=10)
    assert error(response) == (status, message)
    assert f'error="{challenge}"' in response.headers["WWW-Authenticate"]


@pytest.mark.parametrize(
    "path",
    [RECENT, "/me/tracks", "/me/top/artists", "/me/top/tracks", "/me/playlists", "/playlists/x/items"],
)
def test_a_missing_scope_is_forbidden(simulator: RunningSimulator, user: SimulatedUser, path: str) -> None:
    token = connect(simulator, user.id, scope="user-read-email")["access_token"]
    headers = {"Authorization": f"Bearer {token}"}
    response = requests.get(f"{simulator.base_url}/v1{path}", headers=headers, timeout=10)
    assert error(response) == (403, "Insufficient client scope")


def test_unknown_addresses_and_methods_answer_in_spotifys_shape(simulator: RunningSimulator, get: Get) -> None:
    assert error(get("/nowhere")) == (404, "Service not found")
    assert error(requests.post(f"{simulator.base_url}/v1/me", timeout=10)) == (405, "Method not allowed")


def _unix_ms(stamp: str) -> str:
    return str(round(datetime.fromisoformat(stamp).timestamp() * 1000))
