"""No decoder does more than refuse what is hostile; `benchmarks/fuzz.py` runs the same with many more inputs."""

from __future__ import annotations

import pytest

from tests.fuzzing.run import fuzz
from tests.fuzzing.targets import targets

_INPUTS = 60
_TARGETS = targets()


@pytest.mark.parametrize("name", _TARGETS)
def test_hostile_input_is_refused_or_read(name: str) -> None:
    result = fuzz(_TARGETS[name], _INPUTS, seed=2026)
    assert result.falls == []
    assert result.inputs == _INPUTS
