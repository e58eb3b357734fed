"""Sends notices through Apprise to webhooks, chats, push services and mailboxes (`ECHOSTATS_ALERTS`).

Here: the addresses, and one attempt to send to each. Not here: what causes a notice, and when to try again. An address
is a secret: this module never quotes it, and the caller redacts the messages of Apprise about it.
"""

import hashlib
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from apprise import Apprise, AppriseAsset, NotifyBase, NotifyType
from pydantic import SecretStr

from echostats_pipeline.errors import SettingsError

TIMEOUT_S = 10.0
_LOGGER = logging.getLogger("apprise")
_ASSET = AppriseAsset(app_id="echostats", app_desc="echostats", app_url="", image_url_mask="", image_url_logo="")
"""Notices carry our own name, and load no pictures from other servers."""


@dataclass(frozen=True)
class Delivery:
    """The result of one attempt to send to one address.

    Attributes:
        mark: Identifies the address without revealing it.
        name: Position in ``ECHOSTATS_ALERTS`` and name of the service, for example ``1 (Slack)``.
        accepted: Whether the service accepted the notice.
        reason: Why it was not accepted, in the words of Apprise; not redacted.
    """

    mark: str
    name: str
    accepted: bool
    reason: str = field(default="", repr=False)


class Notifier:
    """The receivers of notices.

    Args:
        addresses: The addresses in the settings.

    Raises:
        SettingsError: an address is not understood; the message names its number.
    """

    def __init__(self, addresses: Sequence[SecretStr]) -> None:
        _LOGGER.propagate = False  # Apprise quotes addresses in its log
        self._services = [
            (_mark(address), _service(number, address)) for number, address in enumerate(addresses, start=1)
        ]

    @property
    def marks(self) -> list[str]:
        """Return the marks of all addresses."""
        return [mark for mark, _ in self._services]

    def send(self, title: str, body: str, *, good: bool = False, already: Sequence[str] = ()) -> Iterator[Delivery]:
        """Try once to send to every address that has not `already` accepted, one after the other; never raises."""
        kind = NotifyType.SUCCESS if good else NotifyType.FAILURE
        for number, (mark, service) in enumerate(self._services, start=1):
            if mark in already:
                continue
            name = f"{number} ({service.service_name})"
            alone = Apprise(asset=_ASSET)
            alone.add(service)
            try:
                result = alone.notify(body=body, title=title, notify_type=kind, timeout=TIMEOUT_S)
                reason = next((entry.message for entry in result.logs()), "it was not accepted")
                yield Delivery(mark, name, bool(result), "" if result else reason)
            except Exception as error:  # noqa: BLE001 - no error of the hundred services may stop the pipeline
                yield Delivery(mark, name, accepted=False, reason=type(error).__name__)


def _service(number: int, address: SecretStr) -> NotifyBase:
    text = address.get_secret_value()
    _LOGGER.disabled = True  # Apprise quotes the whole of an address that it cannot use
    try:
        service = Apprise.instantiate(text, asset=_ASSET, suppress_exceptions=True)
    except Exception:  # noqa: BLE001 - any message may quote the address
        service = None
    finally:
        _LOGGER.disabled = False
    if isinstance(service, NotifyBase):
        return service
    if text.startswith(("http://", "https://")):
        raise SettingsError(
            f"ECHOSTATS_ALERTS: number {number} is a web address that no known service has. For a webhook that takes "
            "JSON, write jsons:// instead of https://, or json:// instead of http://."
        )
    raise SettingsError(
        f"ECHOSTATS_ALERTS: number {number} is not an address that Apprise understands. "
        "The forms of each service are listed at https://appriseit.com/services/"
    )


def _mark(address: SecretStr) -> str:
    return hashlib.sha256(address.get_secret_value().encode()).hexdigest()[:8]
