"""Names read from the zoos' sources are those that the zoos themselves know."""

from __future__ import annotations

import pytest

from fuseline.frontends.sources import transformers, zoos
from fuseline.frontends.sources.transformers.heads import TASKS


def test_the_families_of_transformers() -> None:
    assert zoos.names("hf") == transformers.model_names()
    assert set(zoos.FAMILY_TABLES) == {"", *(table for task in TASKS for table in task.mappings)}


@pytest.mark.parametrize("family", ["bert", "gpt-sw3", "encoder-decoder", "mimi_encoder"])
def test_families_that_several_modules_list(family: str) -> None:
    assert (family in zoos.transformers_families()) == (
        f"hf/{family}" in transformers.model_names()
    )
