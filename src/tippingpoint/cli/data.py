"""``tippingpoint data``: which sets of images there are, and whether one is fit for a study."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tippingpoint.cli._common import print_json

if TYPE_CHECKING:
    from rich.table import Table

__all__ = ["register"]

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")]


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    group = typer.Typer(help="Sets of images: what there is, and whether one is fit for a study.", no_args_is_help=True)
    group.command("list")(list_sets)
    group.command("check")(check)
    app.add_typer(group, name="data")


def list_sets(json: Json = False) -> None:
    """List the sets that come with the package."""
    from tippingpoint.lab.data import available_sets, describe_image_set

    sets = []
    for name, about in available_sets().items():
        known = describe_image_set(name)
        sets.append({"name": name, "about": about, **{key: known[key] for key in ("n_train", "n_test", "n_classes")}})
    if json:
        print_json({"sets": sets})
        return
    for entry in sets:
        sizes = f"{entry['n_train']:,} training and {entry['n_test']:,} test images, {entry['n_classes']} classes"
        print(f"{entry['name']}: {entry['about']}\n    {sizes}")
    print(
        "\nSome classes of a set: fashion_mnist[0-5] or digits[0,2,4]. Your own images: the path of a .npz file with "
        "x_train, y_train,\nx_test, y_test, or of a folder with train/ and test/ that hold a folder for every class."
    )


def check(
    name: Annotated[str, typer.Argument(help="A set's name, or the path of your own .npz file or image folder.")],
    data_dir: Annotated[Path | None, typer.Option(help="Where a relative path starts.", readable=False)] = None,
    image_size: Annotated[int | None, typer.Option(min=1, help="Side at which images are compared.")] = None,
    channels: Annotated[int | None, typer.Option(min=1, max=3, help="1 for grey, 3 for RGB.")] = None,
    json: Json = False,
) -> None:
    """Load a set and tell its classes, their balance, images that occur twice, and its fingerprint."""
    from tippingpoint.lab.data import check_image_set

    found = check_image_set(name, image_size=image_size, channels=channels, data_dir=data_dir)
    if json:
        print_json(found)
        return
    _print_check(found)


def _print_check(found: dict[str, Any]) -> None:
    """Print what `check` found, for people."""
    from rich.console import Console

    console = Console(highlight=False, soft_wrap=True)
    size = found["image_size"]
    kind = "grey" if found["channels"] == 1 else "RGB"
    console.print(
        f"{found['name']}: {found['n_train']:,} training and {found['n_test']:,} test images, {found['n_classes']} "
        f"classes ({size}x{size} {kind})",
        markup=False,
    )
    console.print(_class_table(found["classes"]))
    twice = found["duplicates"]
    console.print(
        f"Images that occur twice: {twice['train']:,} among the training images, {twice['test']:,} among the test "
        f"images, {twice['train_test']:,} training images also among the test images."
    )
    console.print(f"Fingerprint: {found['fingerprint']}")
    for warning in found["warnings"]:
        console.print(f"Note: {warning}", markup=False)


def _class_table(classes: list[dict[str, Any]]) -> Table:
    """Return the images per class as a table."""
    from rich.box import SIMPLE
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=SIMPLE)
    for heading in ("class", "training", "test"):
        table.add_column(heading, justify="left" if heading == "class" else "right")
    for number, entry in enumerate(classes):
        table.add_row(f"{number} {escape(entry['name'])}", f"{entry['train']:,}", f"{entry['test']:,}")
    return table
