"""The benchmark: how fast Precedent is, and against what, measured in one run on one machine."""
