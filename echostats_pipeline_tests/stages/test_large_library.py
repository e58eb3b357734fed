"""Libraries of any size: read over days, interrupted at any call, with the budget shared, and progress reported."""

from collections import Counter
from contextlib import suppress
from datetime import timedelta
from random import Random

import pytest

from echostats_pipeline.errors import SpotifyUnavailable, WaitRequired
from echostats_pipeline.model.users import User
from echostats_pipeline.monitoring import health
from echostats_pipeline.stages.library import sync_saved_tracks
from echostats_pipeline.stages.library_progress import (
    LibraryProgress,
    calls_for,
    demand,
    due_libraries,
    progress_of,
)
from echostats_pipeline.stages.playlists import sync_playlists
from echostats_pipeline.storage.store import Store
from echostats_pipeline_tests.conftest import NOW, Counted, documents
from echostats_pipeline_tests.hypothesis_profiles import examples
from echostats_pipeline_tests.stages.fake_library import FakeLibrary

A_DAY = timedelta(days=1)


def new_user(store: Store, name: str) -> User:
    profile = {"spotify_id": name, "display_name": name}
    user = store.users.connect(profile, authorized_at=NOW, simulated=True)
    store.users.synced(user.user_id, NOW)
    return store.users.find(name)


@pytest.fixture
def user(store: Store) -> User:
    return new_user(store, "ann")


def read_playlists(store: Store, library: FakeLibrary, user: User, calls: int | None = None, day: int = 0) -> None:
    """Run once with this number of calls."""
    library.calls_left = calls
    with suppress(WaitRequired, KeyboardInterrupt):
        sync_playlists(store, library.client(user.user_id), user, NOW + day * A_DAY, Counted())


def read_saved(store: Store, library: FakeLibrary, user: User, calls: int | None = None, day: int = 0) -> None:
    """Run once with this number of calls."""
    library.calls_left = calls
    with suppress(WaitRequired, KeyboardInterrupt):
        sync_saved_tracks(store, library.client(user.user_id), user, NOW + day * A_DAY, Counted())


def progress(store: Store, user: User, part: str, day: int = 0, daily_calls: int = 500) -> LibraryProgress:
    wanted = demand(store, part, NOW + day * A_DAY, of=user)  # type: ignore[arg-type]
    return progress_of(store, user, daily_calls, wanted)


def stored(store: Store, library: FakeLibrary) -> dict[str, list[str]]:
    found = documents(store.db, "playlists")
    for each in found:
        assert len(each["tracks"]) == each["total_tracks"], "nothing is stored half"
    return {each["spotify_id"]: [row["spotify_id"] for row in each["tracks"]] for each in found}


def true(library: FakeLibrary) -> dict[str, list[str]]:
    return {name: [row["item"]["id"] for row in library.contents[name] if row] for name in library.names()}


def saved(store: Store) -> Counter[str]:
    return Counter(each["spotify_id"] for each in documents(store.db, "saved_tracks"))


def test_playlists_are_stored_one_by_one_and_nothing_is_asked_twice(store: Store, user: User) -> None:
    library = FakeLibrary()
    for number in range(120):
        library.fill(f"p{number}", rows=(30, 70, 420)[number % 3])
    day = 0
    while not progress(store, user, "playlists", day).is_complete:
        before = stored(store, library)
        read_playlists(store, library, user, calls=100, day=day)
        assert stored(store, library).keys() >= before.keys()
        day += 1
    assert stored(store, library) == true(library)
    assert max(Counter(library.asked).values()) == 1
    assert len(library.asked) == 3 + 40 * (1 + 2 + 9)
    made = len(library.asked)
    library.fill("p7", rows=55, version=2)
    read_playlists(store, library, user, day=day)
    assert len(library.asked) - made == 3 + 2, "what has not changed is not read again"
    assert stored(store, library) == true(library)


def test_the_step_says_how_far_it_is_and_how_long_it_takes(store: Store, user: User) -> None:
    library = FakeLibrary(saved=[str(number) for number in range(2600, 0, -1)])
    for number in range(60):
        library.fill(f"p{number}", rows=40)
    assert progress(store, user, "playlists").text == "playlists not read yet"
    read_playlists(store, library, user, calls=22)
    read_saved(store, library, user, calls=22)
    assert progress(store, user, "playlists", daily_calls=10).text == "20 of 60 playlists, ready in about 4 days"
    assert progress(store, user, "saved_tracks", daily_calls=30).text == (
        "1,100 of 2,600 liked songs, ready in about 1 day"
    )
    assert not progress(store, user, "playlists").is_complete
    read_playlists(store, library, user)
    assert progress(store, user, "playlists").text == "60 playlists"


@pytest.mark.parametrize("dies_at", [0, 1, 2, 5, 9, 12])
def test_a_process_that_dies_anywhere_loses_nothing_and_the_next_goes_on(
    store: Store, user: User, dies_at: int
) -> None:
    library = FakeLibrary(saved=[str(number) for number in range(410, 0, -1)], dies_at=dies_at)
    for number in range(7):
        library.fill(f"p{number}", rows=80)
    read_playlists(store, library, user)
    made, library.dies_at = len(library.asked), None
    read_playlists(store, library, user)
    assert stored(store, library) == true(library)
    assert len(library.asked) == 15, "each page once"
    library.asked.clear()
    library.dies_at = made
    read_saved(store, library, user)
    library.dies_at = None
    read_saved(store, library, user)
    assert saved(store) == Counter(library.saved)


@pytest.mark.parametrize("seed", range(examples(3)))
def test_a_list_that_changes_while_it_is_read_over_days_is_neither_short_nor_doubled(
    store: Store, user: User, seed: int
) -> None:
    random, library, newest = Random(seed), FakeLibrary(saved=[str(number) for number in range(900, 0, -1)]), 900
    for day in range(30):
        if day < 12:
            for _ in range(random.choice((0, 0, 3, 60))):
                newest += 1
                library.saved.insert(0, str(newest))
            for _ in range(random.choice((0, 0, 2))):
                library.saved.pop(random.randrange(len(library.saved)))
        read_saved(store, library, user, calls=random.randint(1, 5) if day < 12 else 12, day=day)
    assert saved(store) == Counter(library.saved)
    assert progress(store, user, "saved_tracks", day=30).is_complete


def test_songs_added_while_a_long_pass_is_under_way_are_there_when_it_says_so(store: Store, user: User) -> None:
    library = FakeLibrary(saved=[str(number) for number in range(500, 0, -1)])
    read_saved(store, library, user, calls=4)
    library.saved[:0] = [str(number) for number in range(575, 500, -1)]
    read_saved(store, library, user)
    assert saved(store) == Counter(library.saved)
    assert progress(store, user, "saved_tracks").text == "575 liked songs"
    made = len(library.asked)
    read_saved(store, library, user, day=1)
    assert len(library.asked) == made + 1


def test_a_playlist_that_cannot_be_read_costs_itself_alone(store: Store, user: User) -> None:
    library = FakeLibrary()
    for number in range(6):
        library.fill(f"p{number}", rows=3)
    library.playlists += [None, {"name": "nameless"}, {"id": None, "name": "null"}, {"id": 7}]
    library.contents["p0"] = [
        None,
        {"item": None},
        {"item": {"type": "episode", "id": "e"}},
        {"is_local": True, "item": {"type": "track", "id": None, "name": "T", "artists": [{"name": "A"}]}},
    ]
    library.statuses = {"p1": 404, "p2": 403, "p3": 500, "p4": 400}
    read_playlists(store, library, user)
    found = {each["spotify_id"]: each for each in documents(store.db, "playlists")}
    assert found.keys() == {"p0", "p2", "p4", "p5"}
    assert [len(found[name]["tracks"]) for name in ("p0", "p2", "p5")] == [1, 0, 3]
    reported = progress(store, user, "playlists")
    assert reported.text == "4 of 5 playlists, 1 could not be read and will be requested again"
    made = len(library.asked)
    library.statuses = {"p1": 404, "p2": 403}
    read_playlists(store, library, user, day=1)
    assert [path.split("/")[-2] for path in library.asked[made + 1 :]] == ["p3"], (
        "what is asked in vain rests for a week"
    )
    read_playlists(store, library, user, day=9)
    assert sum("/p2/" in path for path in library.asked) == 2


def test_where_nothing_can_be_read_the_step_fails(store: Store, user: User) -> None:
    library = FakeLibrary()
    for number in range(6):
        library.fill(f"p{number}", rows=3)
    library.statuses = dict.fromkeys(library.names(), 502)
    with pytest.raises(SpotifyUnavailable):
        sync_playlists(store, library.client(user.user_id), user, NOW, Counted())
    assert len(library.asked) == 4
    assert not demand(store, "playlists", NOW).wishes, "it waits for its next daily reading"


def test_playlists_are_removed_only_after_a_complete_list(store: Store, user: User) -> None:
    library = FakeLibrary()
    for number in range(120):
        library.fill(f"p{number}", rows=1)
    read_playlists(store, library, user)
    library.playlists = library.playlists[10:]
    read_playlists(store, library, user, calls=2, day=1)
    assert len(stored(store, library)) == 120
    read_playlists(store, library, user, day=1)
    assert stored(store, library) == true(library)


def test_a_huge_library_leaves_the_others_their_share(store: Store, user: User) -> None:
    bea, library = new_user(store, "bea"), FakeLibrary()
    for number in range(600):
        library.fill(f"p{number}", rows=1)
    assert calls_for(store, user, "playlists", 500, NOW) == 250
    read_playlists(store, library, user)
    assert len(library.asked) == 250, "the rest is for the other"
    for _ in library.asked:
        store.limits.record("playlists", NOW)
    assert calls_for(store, bea, "playlists", 500, NOW) == 250
    few = FakeLibrary()
    few.fill("q", rows=1)
    read_playlists(store, few, bea)
    assert calls_for(store, user, "playlists", 500, NOW) == 250, "what is left is not wasted"
    assert user.partition_key in due_libraries(store, [user, bea], 500, NOW)


def test_the_doctor_tells_of_what_is_missing(store: Store, user: User) -> None:
    from echostats_pipeline.settings import load_settings  # noqa: PLC0415

    settings, library = load_settings({}, env_file=None), FakeLibrary()
    for number in range(60):
        library.fill(f"p{number}", rows=1)
    assert list(health.library(store, settings, NOW)) == []
    read_playlists(store, library, user, calls=12)
    (finding,) = health.library(store, settings, NOW)
    assert (finding.level, "10 of 60 playlists, ready in about 1 day" in finding.text) == ("warning", True)
