"""Benchmarks that print ratios to a floor measured in the same run. Absolute times mean little on a busy machine."""
