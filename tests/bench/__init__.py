"""The benchmark: `make bench`. It times, so CI does not run it; `test_bench.py` runs it on a tiny workload."""
