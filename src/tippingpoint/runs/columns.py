"""The agreed columns of a table of runs, with what may stand in them.

Tables of other people have few or none of these; whatever is there is held to the same rules.
"""

from __future__ import annotations

__all__ = ["AXES", "GROUP", "MEASURED", "NUMBERS", "SCHEMA_VERSION", "SIZES", "TARGETS"]

SCHEMA_VERSION = 1  #: the newest version of the table that this code reads

#: Columns that a law may have as axes by default, in the order in which they are named.
AXES = ("n_pretrain", "n_params", "n_params_teacher", "n_finetune")

#: Columns whose values tell groups of runs apart: one law is fitted to one group.
GROUP = ("recipe", "stage", "upstream", "downstream")

#: Sizes: above 0, or empty where they do not apply.
SIZES = (*AXES, "n_params_head", "n_test")

#: Scores that a law may describe.
TARGETS = ("error", "cross_entropy", "cross_entropy_calibrated")

#: Columns that hold numbers; text in them is a fault.
NUMBERS = (
    *SIZES,
    *TARGETS,
    "pretrain_flops",
    "teacher_flops",
    "finetune_flops",
    "train_flops",
    "wall_s",
)

#: What was measured of a run; two rows that agree in all other columns, seeds among them, are the same run.
MEASURED = (*TARGETS, "pretrain_flops", "teacher_flops", "finetune_flops", "train_flops", "wall_s")
