"""Benchmarks: what lalmesh costs, beside the least that is possible and beside other servers."""
