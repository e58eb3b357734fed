"""Programs that print ratios against a floor measured in the same run; absolute times mean little on a busy machine."""
