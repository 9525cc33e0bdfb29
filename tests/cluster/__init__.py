"""Tests of NATS as a cluster: servers are killed and restarted, and the one invariant of the fault tests must hold."""
