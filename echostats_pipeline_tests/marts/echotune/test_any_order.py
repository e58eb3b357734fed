"""Any order of what can happen to histories ends in the same documents of EchoTune.

The state machine of the statistics runs with the mart beside the core: documents that were kept up to date equal, byte
for byte, those built from nothing, and plays and events equal those that brute force gives.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import rule, run_state_machine_as_test

from echostats_pipeline.marts.echotune.build import waiting_users
from echostats_pipeline.model.collections import COLLECTIONS as CORE
from echostats_pipeline_tests.hypothesis_profiles import UNHURRIED, examples
from echostats_pipeline_tests.marts.echotune import mart_oracle
from echostats_pipeline_tests.marts.echotune.conftest import Installed
from echostats_pipeline_tests.stages.test_any_order import AnyOrder, Place, numbers

STEPS = 12


@dataclass(frozen=True)
class MartPlace(Place):
    """Where machines run, with the two databases of EchoTune."""

    echotune: Installed | None = None
    fresh: Installed | None = None


class AnyOrderWithMart(AnyOrder):
    """Everything that can happen to two listeners, with updates of EchoTune's database in between."""

    place: MartPlace

    def __init__(self) -> None:
        super().__init__()
        assert self.place.echotune is not None
        assert self.place.fresh is not None
        self.echotune, self.fresh = self.place.echotune, self.place.fresh
        self.store = self.echotune.store
        self.echotune.empty()

    @rule(number=numbers, whole=st.booleans())
    def the_mart_is_updated(self, number: int, whole: bool) -> None:
        self.echotune.update(self.user(number), self.now, whole=whole)

    def everything_is_true(self) -> None:
        super().everything_is_true()
        waiting = waiting_users(self.store)
        for user in self.store.users.all():
            if user.user_id in waiting:
                self.echotune.update(user, self.now)
        assert waiting_users(self.store) == set()
        self.fresh.empty()
        self.fresh.store.db["mart_states"].delete_many({})
        for user in self.fresh.store.users.all():
            self.fresh.update(user, self.now)
        for name in mart_oracle.COLLECTIONS:
            kept_up, built = (mart_oracle.contents(each.collection(name)) for each in (self.echotune, self.fresh))
            assert kept_up.keys() == built.keys(), name
            assert kept_up == built, name
        self.nothing_differs_from_brute_force()

    def nothing_differs_from_brute_force(self) -> None:
        tracks = {track["spotify_id"]: track for track in self.db["tracks"].find()}
        events = self.echotune.collection("analytics_events")
        for user in self.store.users.all():
            owner = mart_oracle.owner_id(user.user_id)
            plays = list(self.db["listening_history"].find({"user_id": user.user_id}))
            wanted = mart_oracle.plays_of(plays, tracks, owner)
            found = list(self.echotune.collection("listening_history").find({"userId": owner}, {"runId": 0}))
            assert sorted(found, key=lambda each: str(each["_id"])) == sorted(wanted, key=lambda each: str(each["_id"]))
            told = {
                (each["eventType"], each["metadata"]["trackId"], each["timestamp"])
                for each in events.find({"userId": owner})
            }
            assert told == mart_oracle.events_of(plays, wanted, self.now)
            self.counted["mart plays"] += len(found)


@pytest.mark.scale
@pytest.mark.timeout(UNHURRIED)
def test_any_order_of_anything_ends_in_the_same_documents_of_echotune(
    echotune: Installed, scratch_echotune: Installed, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    place = MartPlace(echotune.store.db, scratch_echotune.store, tmp_path, echotune=echotune, fresh=scratch_echotune)
    assert "mart_states" in CORE
    run_state_machine_as_test(
        type("AnyOrderWithMart", (AnyOrderWithMart,), {"place": place}),
        settings=settings(
            max_examples=examples(4),
            stateful_step_count=STEPS,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
    for name, count in place.counted.items():
        record_property(name, count)
    assert place.counted["mart plays"] > 0
