"""The control plane of the tests of admission."""
import pytest

from harness.guarded import guarded


@pytest.fixture(scope="package")
def world(scratch):
    with guarded(scratch / "guarded") as world:
        yield world
