"""ACT 2: samples -> bytes. `packing` cuts them into requests, `v1` and `v2` encode these."""
