"""``echostats alerts``: a test notice to every address, and the open incidents."""

from echostats_pipeline.model.operations import Incident
from echostats_pipeline_tests.cli.conftest import Echostats, refused
from echostats_pipeline_tests.conftest import NOW, Installation
from echostats_pipeline_tests.fake_receivers import Webhook, listening

CANARY = "canary-topic-or-token"


def test_a_test_notice_goes_to_every_address_and_one_refusal_is_a_failure(echostats: Echostats) -> None:
    with listening(Webhook()) as webhook:
        hook = f"json://me:{CANARY}@127.0.0.1:{webhook.port}/{CANARY}"
        ended = echostats("alerts", "test", ECHOSTATS_ALERTS=f"{hook}, ntfy://127.0.0.1:1/{CANARY}")
        assert ended.returncode == 1
        assert ended.stdout.splitlines()[0] == "1 (JSON): accepted"
        assert ended.stdout.splitlines()[1].startswith("2 (ntfy): ")
        assert CANARY not in ended.stdout + ended.stderr
        assert echostats("alerts", "test", ECHOSTATS_ALERTS=hook).returncode == 0
    assert len(webhook.posts) == 2


def test_an_address_that_is_not_understood_is_not_quoted(echostats: Echostats) -> None:
    said = refused(echostats("alerts", "test", ECHOSTATS_ALERTS=f"https://example.org/{CANARY}"))
    assert "ECHOSTATS_ALERTS" in said
    assert CANARY not in said
    assert "not set" in refused(echostats("alerts", "test"))


def test_open_incidents_are_listed_with_their_causes(installation: Installation, echostats: Echostats) -> None:
    assert "No incident" in echostats("alerts", "list").stdout
    incident = Incident(key="k", kind="run", subject="It failed", cause="why", opened_at=NOW, last_seen_at=NOW)
    installation.store.incidents.see(incident)
    listed = echostats("alerts", "list").stdout
    for part in ("It failed", "why", "not notified yet"):
        assert part in listed
