"""Cluster: batch jobs and servers on several machines, by Ray, which is an extra."""
