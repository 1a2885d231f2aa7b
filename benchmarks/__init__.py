"""Benchmarks: speed against the published programs, at real sizes and with equal results."""
