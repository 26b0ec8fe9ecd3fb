"""Every preset: it loads and plans without its images, and runs to the end at toy scale."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tippingpoint.errors import ConfigError
from tippingpoint.study.grid import build_grid
from tippingpoint.study.load import Study

Load = Callable[..., Study]
OTHERS = "finetuning_of={beans: {batch_size: 4, learning_rate: 1e-3, length: {steps: 7}}}"


def test_one_downstream_set_may_have_settings_of_its_own(load: Load, study_text: str) -> None:
    before, after = build_grid(load()), build_grid(load(study_text, OTHERS))
    for cell in after.cells.values():
        if cell.where["downstream"] == "beans":
            assert (cell.task["training"]["batch_size"], cell.estimate.n_steps) == (4, 7)
            assert cell.key not in before.cells
        else:
            assert cell.key in before.cells, "what is not set apart keeps its key"
    alone = load(study_text, OTHERS, "downstream=[beans]", "finetuning=null")
    assert alone.config.finetuning_on("beans") is not None


def test_faults_of_settings_of_one_set(load: Load, study_text: str) -> None:
    def told(*overrides: str) -> str:
        with pytest.raises(ConfigError) as caught:
            load(study_text, *overrides)
        return "\n".join(caught.value.faults)

    assert "'bean' is not among the study's downstream sets (toys, beans). Did you mean 'beans'?" in told(
        OTHERS.replace("beans", "bean")
    )
    assert "downstream.0: 'toys' is to be fine-tuned on, but the key finetuning" in told(OTHERS, "finetuning=null")
    assert "unknown key 'batchsize' of finetuning_of.beans. Did you mean 'batch_size'?" in told(
        OTHERS, "finetuning_of.beans.batchsize=3"
    )
    assert "finetuning_of.beans.warmup_steps: 9 is more than the 7 steps" in told(
        OTHERS, "finetuning_of.beans.warmup_steps=9"
    )
