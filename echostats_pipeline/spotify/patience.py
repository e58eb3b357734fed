"""Turns a failed call of one source into a wait for this source, so that the others go on meanwhile."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

from echostats_pipeline.errors import RequestRefused, SpotifyResponseError, SpotifyUnreachable, WaitRequired
from echostats_pipeline.spotify.families import Family
from echostats_pipeline.spotify.retry_after import Clock

TRY_AGAIN_AFTER = timedelta(minutes=15)
"""When to call a service again that did not answer, also to several attempts."""
REFUSED_FOR = timedelta(days=1)
"""When to call a service again that refused a call, for example because of a wrong key."""


@contextmanager
def waiting_out(family: Family, clock: Clock) -> Iterator[None]:
    """Let calls of a family in the block fail with nothing but `WaitRequired`.

    Raises:
        WaitRequired: the service asks for a wait, does not answer as expected, or refuses the call.
    """
    try:
        yield
    except RequestRefused as error:
        raise WaitRequired(family, clock() + REFUSED_FOR, _reason(error)) from error
    except (SpotifyResponseError, SpotifyUnreachable) as error:
        raise WaitRequired(family, clock() + TRY_AGAIN_AFTER, _reason(error)) from error


def _reason(error: Exception) -> str:
    return str(error).rstrip(".")
