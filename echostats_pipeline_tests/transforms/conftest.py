"""Properties stay quick: few examples, no deadline, for a cold start is slower than any of them."""

from hypothesis import HealthCheck, settings

settings.register_profile(
    "transforms", max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)
settings.load_profile("transforms")
