"""The present instant, so that tests and simulations decide what time it is."""

from datetime import datetime, timedelta

import dagster as dg

from echostats_pipeline.model.base import utc_now


class ClockResource(dg.ConfigurableResource):
    """Real time plus an offset."""

    offset_seconds: float = 0.0

    def now(self) -> datetime:
        """The present instant in UTC."""
        return utc_now() + timedelta(seconds=self.offset_seconds)
