"""Tables are read from anywhere, and every fault is told with its place."""

from __future__ import annotations

import contextlib
import errno
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tippingpoint.errors import EnvironmentFault, ExpressionError, MissingExtraError, RunsError, TippingPointError
from tippingpoint.runs import Runs, default_axes, read_runs, select_group

CSV = "recipe,stage,n_pretrain,error,seed\nscratch,finetuned,10,0.5,0\nscratch,finetuned,20,0.4,0\n"
NUMBER = "write a number, with a decimal point and without units, % or separators of thousands"


def write(folder: Path, text: str, name: str = "runs.csv") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def faults_of(source: Any, **settings: Any) -> tuple[str, ...]:
    with pytest.raises(RunsError) as caught:
        read_runs(source, **settings)
    return caught.value.faults


def study() -> pd.DataFrame:
    rows = []
    for recipe in ("scratch", "distilled"):
        for seed in (0, 1):
            for n in (100, 1000):
                base = {"recipe": recipe, "upstream": "u", "n_pretrain": n, "seed": seed, "n_params": 5.0}
                rows.append({**base, "stage": "pretrained", "error": 0.3})
                rows += [{**base, "stage": "finetuned", "downstream": d, "n_finetune": 50, "error": 0.2} for d in "ab"]
    return pd.DataFrame(rows)


class TestReading:
    def test_every_source_gives_the_same_table(self, tmp_path: Path) -> None:
        frame = pd.DataFrame({"n_pretrain": [10.0, 20.0], "error": [0.5, 0.25], "recipe": ["a", "b"]})
        frame.to_csv(tmp_path / "runs.csv", index=False)
        frame.to_parquet(tmp_path / "runs.parquet")
        write(tmp_path, "\n".join(json.dumps(row) for row in frame.to_dict("records")), "runs.jsonl")
        sources: list[Any] = [frame, frame.to_dict("list"), tmp_path, *sorted(tmp_path.iterdir()), read_runs(frame)]
        for source in sources:
            found = read_runs(source).frame
            assert found["n_pretrain"].tolist() == [10.0, 20.0]
            assert found["error"].tolist() == [0.5, 0.25]
            assert found["recipe"].tolist() == ["a", "b"]

    def test_lines_count_blank_ones_and_quoted_breaks(self, tmp_path: Path) -> None:
        text = '\n\nn_pretrain,error,about\n1,.5,"two\nlines"\n\n,,\n2,x,\n'
        assert faults_of(write(tmp_path, text)) == (
            f"{tmp_path}/runs.csv, line 8: column 'error' ('x') is text; {NUMBER}.",
        )

    @pytest.mark.parametrize("separator", [";", "\t"])
    def test_other_separators_and_bom(self, tmp_path: Path, separator: str) -> None:
        path = write(tmp_path, "\ufeff" + CSV.replace(",", separator).replace("\n", "\r\n"))
        assert read_runs(path).frame["error"].tolist() == [0.5, 0.4]

    def test_the_separator_that_excel_names_first(self, tmp_path: Path) -> None:
        runs = read_runs(write(tmp_path, "sep=;\r\n" + CSV.replace(",", ";")))
        assert runs.frame["error"].tolist() == [0.5, 0.4]
        assert runs.line_numbers().tolist() == [3, 4]

    def test_named_levels_of_an_index_are_columns(self, tmp_path: Path) -> None:
        """A groupby makes them; without ``seed`` the rows would count as independent."""
        frame = pd.DataFrame({"n_pretrain": [10, 10, 20], "seed": [0, 1, 0], "error": [0.5, 0.4, 0.3]})
        indexed = frame.groupby(["n_pretrain", "seed"]).mean()
        indexed.to_parquet(tmp_path / "runs.parquet")
        for source in (
            indexed,
            tmp_path / "runs.parquet",
            frame.set_index("seed"),
            frame.set_index("seed", drop=False),
        ):
            found = read_runs(source).frame
            assert found[["n_pretrain", "seed", "error"]].to_numpy().tolist() == frame.to_numpy().tolist()
        assert list(indexed.columns) == ["error"]

    def test_tables_of_other_libraries(self) -> None:
        frame = pd.DataFrame({"n_pretrain": [10, 20], "error": [0.5, 0.4], "recipe": ["a", "b"]})
        found = read_runs(pyarrow.Table.from_pandas(frame))  # polars has the same to_pandas
        assert found.frame.to_dict("list") == frame.to_dict("list")
        assert "pandas.DataFrame makes a table of most things" in faults_of(frame.to_dict("records"))[0]

    def test_empty_cells(self, tmp_path: Path) -> None:
        runs = read_runs(write(tmp_path, "recipe,n_pretrain,error\nscratch,,.5\nNA,3,.5\n"))
        assert np.isnan(runs.frame["n_pretrain"][0])
        assert runs.frame["recipe"][1] is None or pd.isna(runs.frame["recipe"][1])

    @pytest.mark.parametrize(
        ("text", "name", "said"),
        [
            ("", "runs.csv", "empty"),
            ("  \n\n", "runs.csv", "empty"),
            ("a,a\n1,2\n", "runs.csv", "'a' stands there twice"),
            ("a,b\n1,2\n1,2,3\n4\n", "runs.csv", "line 3: has 3 cells and the header 2"),
            ('a,b\n1,"2\n', "runs.csv", "cannot be read as CSV"),
            ("a,b\n", "runs.csv", "there are no runs; write one row for each"),
            ("a\0b\n1", "runs.csv", "zero bytes"),
            ('{"a": 1}\n[1]\n{"a":\n', "runs.jsonl", "line 2: is not a JSON object"),
            ("not parquet", "runs.parquet", "Parquet"),
        ],
    )
    def test_damaged_files(self, tmp_path: Path, text: str, name: str, said: str) -> None:
        assert said in " ".join(faults_of(write(tmp_path, text, name)))

    def test_parquet_without_pyarrow(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "pyarrow", None)
        with pytest.raises(MissingExtraError, match=r"Parquet needs pyarrow; pip install 'tippingpoint\[parquet\]'"):
            read_runs(write(tmp_path, "any", "runs.parquet"))

    def test_what_the_system_will_not_let_be_read(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def refuse(_: Path) -> bytes:
            raise PermissionError(errno.EACCES, "Permission denied")

        path = write(tmp_path, CSV)
        monkeypatch.setattr(Path, "read_bytes", refuse)
        with pytest.raises(EnvironmentFault, match=r"runs.csv: cannot be read \(Permission denied\); check") as caught:
            read_runs(path)
        assert caught.value.exit_code == 3

    def test_not_utf8(self, tmp_path: Path) -> None:
        (tmp_path / "x.csv").write_bytes(b"a\n\xff\n")
        assert "UTF-8" in faults_of(tmp_path / "x.csv")[0]

    def test_absent(self, tmp_path: Path) -> None:
        assert "no such file" in faults_of(tmp_path / "none.csv")[0]
        assert "run the study first" in faults_of(tmp_path)[0]
        assert "not int" in faults_of(5)[0]
        assert "one length" in faults_of({"a": [1, 2], "b": [1]})[0]

    def test_unreadable(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        path = write(tmp_path, CSV)

        def refuse(self: Path) -> bytes:
            raise PermissionError(13, "Permission denied")

        monkeypatch.setattr(Path, "read_bytes", refuse)
        with pytest.raises(EnvironmentFault, match="Permission denied"):
            read_runs(path)


class TestFaults:
    def test_all_at_once(self, tmp_path: Path) -> None:
        text = (
            "recipe,n_pretrain,error,seed\n"
            "scratch,10,0.5,0\nscratch,many,1.5,1\nscratch,-3,0.2,2\nscratch,0,0.2,3\nscratch,inf,-1,4\nscratch,10,.2,0\n"
        )
        found = faults_of(write(tmp_path, text), axes=["n_pretran"], target="eror")
        place = f"{tmp_path}/runs.csv"
        assert found == (
            f"{place}: there is no column 'n_pretran'. Did you mean 'n_pretrain'?",
            f"{place}: there is no column 'eror'. Did you mean 'error'?",
            f"{place}, line 3: column 'n_pretrain' ('many') is text; {NUMBER}.",
            f"{place}, line 6: column 'n_pretrain' ('inf') is not finite; write a number.",
            f"{place}, lines 4, 5: column 'n_pretrain' ('-3') is not above 0; leave it empty where the size does not "
            "apply.",
            f"{place}, lines 3, 6: column 'error' ('1.5') is outside 0..1; write a fraction.",
            f"{place}, line 7: a run that is already there (all but its scores is the same); keep one, or give repeats "
            "their own seed.",
        )

    def test_an_infinite_cell_is_told_once(self) -> None:
        assert faults_of({"error": [np.inf, -np.inf, 0.5]}) == (
            "table, rows 0, 1: column 'error' ('inf') is not finite; write a number.",
        )

    def test_a_seed_that_is_the_target_tells_no_runs_apart(self) -> None:
        assert len(read_runs({"seed": [1, 2, 2]}, target="seed")) == 3

    def test_rows_of_another_length_are_told_together(self, tmp_path: Path) -> None:
        text = "my runs\n" + CSV + "scratch,finetuned,40,0.3,0\na,b\n"
        assert faults_of(write(tmp_path, text)) == (
            f"{tmp_path}/runs.csv, lines 2, 3, 4, 5: have 5 cells and the header 1; mend the rows, or the header.",
            f"{tmp_path}/runs.csv, line 6: has 2 cells and the header 1; mend the row.",
        )

    @pytest.mark.parametrize(
        ("start", "words"),
        [(b"PK\x03\x04\x14\0", "workbook"), (b"\x1f\x8b\x08", "gzip"), ("a,b\n".encode("utf-16"), "UTF-16")],
    )
    def test_files_that_are_no_text_are_called_what_they_are(self, tmp_path: Path, start: bytes, words: str) -> None:
        path = tmp_path / "runs.csv"
        path.write_bytes(start)
        assert words in faults_of(path)[0]

    def test_a_missing_target_says_how_to_make_it(self) -> None:
        (told,) = faults_of({"accuracy": [0.5, 0.6]}, target="loss")
        assert told.startswith("table: there is no column 'loss'. There are: accuracy; name one of them, or make")
        assert "--define" in told

    def test_asked_columns_of_foreign_tables(self) -> None:
        table = {"N": [1, None, 3, 4], "loss": [1, 2, "", "x"], "same": [2, 2, 2, 2]}
        found = " ".join(faults_of(table, axes=["N", "same"], target="loss"))
        assert "row 1: column 'N' ('nan') is empty" in found
        assert "row 3: column 'loss' ('x') is text" in found
        assert "row 2: column 'loss'" in found
        assert "axis 'same' has a single value" in found

    def test_equal_rows_without_seeds_are_noted(self) -> None:
        runs = read_runs({"N": [1, 1, 2], "loss": [3, 3, 4]})
        assert runs.notes == ("1 rows equal an earlier one in every column; they are kept.",)

    def test_newer_version(self) -> None:
        assert "upgrade" in faults_of({"schema_version": [1, 2], "error": [0.1, 0.2]})[0]

    def test_nothing_left(self) -> None:
        assert "no rows are left" in faults_of({"N": [1, 2]}, where="N > 5")[0]

    def test_require_names_rows_after_selection(self, tmp_path: Path) -> None:
        text = "recipe,n_pretrain,error\nb,5,.1\na,10,0\na,,.2\na,20,\n"
        runs = select_group(read_runs(write(tmp_path, text)), recipe="a")
        with pytest.raises(RunsError) as caught:
            runs.require(["n_pretrain"], "error", positive_target=True)
        said = " ".join(caught.value.faults)
        assert "line 4: column 'n_pretrain' is empty" in said
        assert "line 5: column 'error' is empty" in said
        assert "line 3: column 'error' is not above 0 and has no logarithm" in said


class TestDefineAndWhere:
    def test_both(self) -> None:
        runs = read_runs(
            {"Model Size": [1.0, 2.0, 4.0], "C": [6.0, 12.0, 48.0]},
            define={"D": "C / (6 * `Model Size`)", "twice": "2 * D"},
            where="twice < 3",
        )
        assert runs.frame["D"].tolist() == [1.0, 1.0]
        assert runs.notes == ("1 of 3 rows set aside: they do not meet twice < 3.",)
        assert runs.line_numbers().tolist() == [0, 1]

    def test_replacing_is_noted(self) -> None:
        assert "replaced" in read_runs({"acc": [0.5], "error": [9]}, define={"error": "1 - acc"}).notes[0]

    def test_faulty(self) -> None:
        with pytest.raises(ExpressionError, match="no column"):
            read_runs({"a": [1]}, where="b > 0")


class TestGroups:
    def test_one_group(self) -> None:
        runs = read_runs(study())
        chosen = select_group(runs, recipe="scratch", downstream="a")
        assert len(chosen) == 4
        assert set(chosen.frame["stage"]) == {"finetuned"}
        assert len(chosen.notes) == 3
        assert len(select_group(runs, recipe="scratch", stage="pretrained")) == 4

    def test_ambiguous_lists_the_choices(self) -> None:
        with pytest.raises(RunsError) as caught:
            select_group(read_runs(study()))
        first, second = caught.value.faults
        assert "'distilled', 'scratch'" in first
        assert "--recipe distilled" in first
        assert "downstream ('a', 'b')" in second

    def test_unknown_value(self) -> None:
        with pytest.raises(RunsError, match="Did you mean 'scratch'"):
            select_group(read_runs(study()), recipe="scrach", downstream="a")
        with pytest.raises(RunsError, match="no column 'recipe'"):
            select_group(read_runs({"N": [1]}), recipe="scratch")

    def test_validation_scores_are_set_aside(self) -> None:
        runs = read_runs({"N": [1, 2], "scored_on": ["test", "validation"]})
        assert select_group(runs).notes == ("1 of 2 rows set aside: scored_on is not 'test'.",)

    def test_foreign_tables_need_no_choice(self) -> None:
        runs = read_runs({"N": [1, 2]})
        assert select_group(runs) is runs

    def test_default_axes(self) -> None:
        runs = select_group(read_runs(study()), recipe="scratch", downstream="a")
        assert default_axes(runs) == ["n_pretrain"]
        with pytest.raises(RunsError, match="name the axes"):
            default_axes(read_runs({"N": [1, 2]}))


def test_runs_show_themselves() -> None:
    runs = read_runs({"N": [1, 2]})
    assert repr(runs) == "Runs(2 rows, 1 columns, from table)"
    assert "<table" in runs._repr_html_()
    with pytest.raises(RunsError, match="holds text"):
        Runs(pd.DataFrame({"a": ["x"]})).numbers("a")


CELLS = st.one_of(
    st.none(),
    st.integers(),
    st.floats(),
    st.text(max_size=5),
    st.booleans(),
    st.complex_numbers(),
    st.lists(st.integers(), max_size=2),
    st.dates(),
    st.decimals(),
    st.sampled_from(["scratch", "finetuned", "0.5", "1e3", "nan"]),
)
NAMES = st.sampled_from(
    ["n_pretrain", "n_params", "error", "recipe", "stage", "seed", "schema_version", "x", "scored_on"]
)


@settings(max_examples=150, deadline=None)
@given(st.dictionaries(NAMES, st.lists(CELLS, min_size=3, max_size=3), max_size=5), st.data())
def test_any_table_is_read_or_refused_by_our_error(table: dict[str, list[Any]], data: st.DataObject) -> None:
    axes = data.draw(st.lists(NAMES, max_size=2))
    try:
        runs = read_runs(table, axes=axes, target=data.draw(st.none() | NAMES))
        select_group(runs)
    except TippingPointError:
        return
    assert len(runs) == 3


@settings(max_examples=100, deadline=None)
@given(st.text(alphabet="abn,;\t\"'\n\r 0.5-eé\ufeff", max_size=60), st.sampled_from([".csv", ".jsonl"]))
def test_any_file_is_read_or_refused_by_our_error(
    tmp_path_factory: pytest.TempPathFactory, text: str, kind: str
) -> None:
    path = tmp_path_factory.mktemp("any") / f"runs{kind}"
    path.write_bytes(text.encode())
    with contextlib.suppress(TippingPointError):
        read_runs(path)


@pytest.mark.parametrize(
    ("target", "refused"),
    [("accuracy", True), ("eval/acc@1", True), ("test_acc", True), ("AUROC", True), ("error", False), ("accum", False),
     ("inaccuracy", False), ("acc_error", False)],
)  # fmt: skip
def test_a_score_of_which_more_is_better_is_no_target(target: str, refused: bool) -> None:
    runs = read_runs({"N": [1, 2, 3], target: [0.3, 0.2, 0.1]})
    with pytest.raises(RunsError, match="grows as a model gets better") if refused else contextlib.nullcontext():
        runs.require(["N"], target)


def test_a_choice_can_be_copied_into_a_shell() -> None:
    with pytest.raises(RunsError) as caught:
        select_group(read_runs({"recipe": ["a & b", "c"], "error": [0.1, 0.2]}))
    assert caught.value.faults[0].endswith("choose one with recipe='a & b' (on the command line --recipe 'a & b').")
