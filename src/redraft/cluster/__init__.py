"""Cluster: `redraft serve` as replicas on Ray Serve."""
