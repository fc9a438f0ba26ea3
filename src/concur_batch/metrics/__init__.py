"""Prometheus metrics of a run: gauges read from its state at scrape time, counters kept by a sink, served by a thread of their own."""
