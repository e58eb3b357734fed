"""Notices as they arrive: webhooks, ntfy, Slack and mail."""

import email
import email.policy
import logging
from collections.abc import Iterator

import pytest
from apprise.plugins.slack import NotifySlack
from pydantic import SecretStr

from echostats_pipeline.errors import SettingsError
from echostats_pipeline.monitoring.notifier import Notifier
from echostats_pipeline_tests.fake_receivers import Mailbox, Webhook, listening

CAUSE = "StorageError: the cause\nmore"
SLACK = "https://hooks.slack.com/services/T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ"


@pytest.fixture
def webhook() -> Iterator[Webhook]:
    with listening(Webhook()) as server:
        yield server


def notifier(*addresses: str) -> Notifier:
    return Notifier([SecretStr(address) for address in addresses])


def test_a_webhook_gets_json(webhook: Webhook) -> None:
    (delivery,) = notifier(f"json://127.0.0.1:{webhook.port}/hook").send("Title", CAUSE)
    assert delivery.accepted
    ((path, body),) = webhook.posts
    assert path == "/hook"
    assert (body["title"], body["message"], body["type"]) == ("Title", CAUSE, "failure")


def test_ntfy_gets_its_own_form(webhook: Webhook) -> None:
    (delivery,) = notifier(f"ntfy://127.0.0.1:{webhook.port}/topic").send("Title", CAUSE, good=True)
    assert delivery.accepted
    (body,) = webhook.bodies()
    assert body["topic"] == "topic"
    assert (body["title"], body["message"]) == ("Title", CAUSE)


def test_slack_is_known_by_its_own_web_address(webhook: Webhook, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(NotifySlack, "webhook_url", f"http://127.0.0.1:{webhook.port}/services")
    (delivery,) = notifier(SLACK).send("Title", CAUSE)
    assert (delivery.name, delivery.accepted) == ("1 (Slack)", True)
    ((path, body),) = webhook.posts
    assert path == "/services/T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ"
    assert (body["attachments"][0]["title"], body["attachments"][0]["text"]) == ("Title", CAUSE)
    assert "apprise" not in str(body).lower()


def test_a_mailbox_gets_a_mail() -> None:
    with listening(Mailbox()) as mailbox:
        address = f"mailto://127.0.0.1:{mailbox.port}?from=me@example.org&to=you@example.org&format=text"
        (delivery,) = notifier(address).send("Title", CAUSE)
    assert delivery.accepted, delivery.reason
    mail = email.message_from_string(mailbox.mails[0], policy=email.policy.default)
    assert mail["Subject"] == "Title"
    body = mail.get_body(("plain",))
    assert body is not None
    assert body.get_content().startswith("StorageError: the cause")


def test_one_that_refuses_does_not_keep_the_others_from_being_told(
    webhook: Webhook, caplog: pytest.LogCaptureFixture
) -> None:
    with listening(Webhook()) as broken, caplog.at_level(logging.INFO):
        broken.status = 500
        addresses = [f"json://me:canary-password@127.0.0.1:{port}/" for port in (broken.port, 1, webhook.port)]
        all_addresses = notifier(*addresses)
        deliveries = list(all_addresses.send("Title", CAUSE))
        assert [delivery.accepted for delivery in deliveries] == [False, False, True]
        assert "500" in deliveries[0].reason
        again = list(all_addresses.send("Title", CAUSE, already=[deliveries[2].mark]))
    assert [delivery.accepted for delivery in again] == [False, False]
    assert len(webhook.posts) == 1
    assert "canary" not in caplog.text + repr(deliveries)


@pytest.mark.parametrize(
    ("address", "says"),
    [
        ("https://example.org/canary-hook", "jsons://"),
        ("http://example.org/canary-hook", "json://"),
        ("slack://canary", "not an address"),
        ("nonsense://canary", "not an address"),
        ("mailto://canary", "not an address"),
    ],
)
def test_an_address_that_is_not_understood_is_named_by_its_number_and_not_quoted(
    address: str, says: str, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SettingsError) as refusal:
        notifier("json://127.0.0.1/", address)
    assert "ECHOSTATS_ALERTS: number 2" in str(refusal.value)
    assert says in str(refusal.value)
    printed = capfd.readouterr()
    assert "canary" not in str(refusal.value) + caplog.text + printed.out + printed.err
