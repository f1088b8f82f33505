"""Tests of admission; all share one control plane (conftest.py), which is gone when they are done."""
