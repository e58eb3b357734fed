"""Recommendations and EchoTune's documents of a single user, of users with the same plays, and without a catalogue."""

import json
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from echostats_pipeline.marts.echotune.audit import MartFault, dangling_ids, wrong_shares, wrong_sums
from echostats_pipeline.marts.echotune.database import user_object_id
from echostats_pipeline.model.recommendations import RecommendationList, Task
from echostats_pipeline.model.users import User
from echostats_pipeline.recommender.building import Recommender, build_neighbours
from echostats_pipeline.recommender.models import evaluate_models
from echostats_pipeline.stages.imports import import_export
from echostats_pipeline.stages.statistics import rebuild_snapshots
from echostats_pipeline_tests.conftest import Counted
from echostats_pipeline_tests.marts.echotune.conftest import Installed
from echostats_pipeline_tests.marts.echotune.stored import NOW, TRACKS, connect, history, listen
from echostats_pipeline_tests.stages.statistics_oracle import catch_up


def rows(first: datetime) -> Iterator[dict[str, Any]]:
    """Rows of an extended export: four songs in each of 60 sessions, one of them skipped."""
    for number in range(240):
        at = first + timedelta(days=number // 4, minutes=5 * (number % 4))
        song = (number * 7) % len(TRACKS)
        yield {
            "ts": f"{at:%Y-%m-%dT%H:%M:%SZ}",
            "platform": "android",
            "ms_played": 4_000 if number % 4 == 3 else 200_000,
            "conn_country": "NL",
            "master_metadata_track_name": f"Song {song}",
            "master_metadata_album_artist_name": f"Artist {song % 5}",
            "master_metadata_album_album_name": "Album",
            "spotify_track_uri": f"spotify:track:{TRACKS[song]}",
            "reason_start": "trackdone",
            "reason_end": "fwdbtn" if number % 4 == 3 else "trackdone",
            "shuffle": False,
            "skipped": number % 4 == 3,
            "offline": False,
            "incognito_mode": False,
        }


@pytest.fixture
def export(tmp_path: Path) -> Path:
    path = tmp_path / "Streaming_History_Audio_2025_0.json"
    path.write_text(json.dumps(list(rows(NOW - timedelta(days=61)))))
    return path


def imported(echotune: Installed, user: User, export: Path) -> None:
    store = echotune.store
    store.users.set_sharing(user.user_id, shares=True)
    import_export(store, user, [export], progress=Counted(), clock=lambda: NOW)
    catch_up(store, NOW)
    rebuild_snapshots(store, user, NOW)


def recommended(echotune: Installed, users: list[User]) -> dict[str, dict[Task, RecommendationList]]:
    """A night: neighbours, evaluation, lists of all users, and EchoTune's documents."""
    store, settings = echotune.store, echotune.settings
    build_neighbours(store, settings, NOW)
    evaluate_models(store, settings, NOW)
    recommender = Recommender(store, settings, NOW)
    made = {user.spotify_id: dict(recommender.rebuild_lists(user).lists) for user in users}
    for user in users:
        echotune.update(user, NOW)
    return made


def faults(echotune: Installed, users: list[User]) -> list[MartFault]:
    mart = echotune.mart(NOW)
    return [*wrong_sums(mart, users), *dangling_ids(mart, users), *wrong_shares(mart, users)]


def test_a_single_user_is_told_that_there_is_nothing_new_and_nothing_is_called_collaborative(
    echotune: Installed,
) -> None:
    ann = connect(echotune)
    listen(echotune, ann, history(ann, 80))
    lists = recommended(echotune, [ann])["ann"]
    assert (lists["discover"].tracks, lists["discover"].is_baseline) == ([], True)
    assert lists["discover"].note.startswith("There are no new songs to choose from: no other user shares")
    assert {each.model for each in lists.values()} == {"popularity", "own_most_played"}
    assert echotune.collection("recommendations").count_documents({}) == 0
    assert faults(echotune, [ann]) == []


def test_two_users_with_the_same_export_have_the_same_documents_and_nothing_new_for_each_other(
    echotune: Installed, export: Path
) -> None:
    users = [connect(echotune), connect(echotune, "bob")]
    for user in users:
        imported(echotune, user, export)
    lists = recommended(echotune, users)
    assert [lists[user.spotify_id]["discover"].tracks for user in users] == [[], []]
    owned = [
        [
            {name: value for name, value in each.items() if name not in ("_id", "userId")}
            for each in echotune.collection("listening_history").find({"userId": user_object_id(user.user_id)})
        ]
        for user in users
    ]
    assert owned[0] == owned[1]
    assert (len(owned[0]), sum(each["skip_count"] for each in owned[0])) == (240, 60)
    assert faults(echotune, users) == []


def test_without_a_catalogue_plays_have_their_names_and_nothing_is_made_up(echotune: Installed, export: Path) -> None:
    ann = connect(echotune)
    imported(echotune, ann, export)
    recommended(echotune, [ann])
    play = echotune.collection("listening_history").find_one({"trackId": TRACKS[7]})
    assert play is not None
    names = {name: play[name] for name in ("trackName", "artistName", "durationMs")}
    assert names == {"trackName": "Song 7", "artistName": "Artist 2", "durationMs": 0}
    assert "popularity" not in play
    (user,) = echotune.collection("users").find()
    assert user["listening_stats"]["total_listening_time"] == 180 * 200_000 + 60 * 4_000
    assert "most_played_genre" not in user["listening_stats"]
    assert "audio_features_preferences" not in user["preferences"]
    assert faults(echotune, [ann]) == []
    for name in ("tracks", "artists", "albums"):
        echotune.store.db[name].delete_many({})
    echotune.collection("track_metadata").delete_many({})
    lists = recommended(echotune, [ann])["ann"]
    assert lists["discover"].tracks == []
    echotune.update(ann, NOW, whole=True)
    assert [(each.what, each.found) for each in faults(echotune, [ann])] == [
        ("played or recommended tracks without metadata", len(TRACKS))
    ]
