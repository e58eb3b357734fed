"""The present instant, so that tests and simulations decide what time it is."""

from datetime import datetime

import dagster as dg

from echostats_pipeline.model.base import utc_now


class ClockResource(dg.ConfigurableResource):
    """Real time. Where another is wanted, a resource of the same kind takes its place, which launchpads do not show."""

    def now(self) -> datetime:
        """The present instant in UTC."""
        return utc_now()
