"""Batch jobs: a file of requests in, a file of answers out, in order, resumable."""
