"""``tippingpoint data``: which sets of images there are, preparing them, and whether they are fit for a study."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tippingpoint.cli._common import print_json

if TYPE_CHECKING:
    from rich.table import Table

__all__ = ["register"]

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")]
DataDir = Annotated[Path | None, typer.Option(help="Where a relative path starts.", readable=False)]
Size = Annotated[int | None, typer.Option(min=1, help="Side at which images are compared.")]
Channels = Annotated[int | None, typer.Option(min=1, max=3, help="1 for grey, 3 for RGB.")]
UNVERIFIED = (
    "Counts and terms of public sets are as they were known when this was written, and not checked against their\n"
    "makers' pages: read those before you use a set. 'data prepare' counts the images and says where a copy differs."
)
CHECK_EXAMPLES = """[bold]Examples[/bold]

tippingpoint data check photos/ --image-size 64

tippingpoint data check "fashion_mnist[0-5]"
"""
OVERLAP_EXAMPLES = """[bold]Examples[/bold]

tippingpoint data overlap cifar10 my_photos

tippingpoint data overlap "fashion_mnist[0-5]" "fashion_mnist[5-9]"
"""
PREPARE_EXAMPLES = """[bold]Examples[/bold]

tippingpoint data prepare cifar10 --from downloads/

tippingpoint data prepare cifar10 --download --size 32

tippingpoint data prepare imagenet100 --from /sets/imagenet --size 224 --to /fast/imagenet100

tippingpoint data prepare my_photos --from photos/ --size 64 --channels 3
"""


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    group = typer.Typer(help="Sets of images: what there is, and whether one is fit for a study.", no_args_is_help=True)
    group.command("list")(list_sets)
    group.command("check", epilog=CHECK_EXAMPLES)(check)
    group.command("overlap", epilog=OVERLAP_EXAMPLES)(overlap)
    group.command("prepare", epilog=PREPARE_EXAMPLES)(prepare)
    app.add_typer(group, name="data")


def list_sets(data_dir: DataDir = None, json: Json = False) -> None:
    """List the sets that come with the package, and the public ones that `data prepare` reads."""
    from tippingpoint.lab.data import available_sets, describe_image_set, public_sets

    sets = []
    for name, about in available_sets().items():
        known = describe_image_set(name)
        sets.append({"name": name, "about": about, **{key: known[key] for key in ("n_train", "n_test", "n_classes")}})
    public = [{"name": name, **entry} for name, entry in public_sets(data_dir).items()]
    _tell({"sets": sets, "public": public}, json, _print_sets)


def _tell(found: dict[str, Any], json: bool, show: Callable[[dict[str, Any]], None]) -> None:
    """Print an answer as one JSON object, or for people."""
    (print_json if json else show)(found)


def _shape(found: dict[str, Any]) -> str:
    """Return ``28x28 grey`` or ``32x32 RGB``."""
    return f"{found['image_size']}x{found['image_size']} {'grey' if found['channels'] == 1 else 'RGB'}"


def _print_sets(found: dict[str, Any]) -> None:
    for entry in found["sets"]:
        print(f"{entry['name']}: {entry['about']}\n    {_sizes(entry)}")
    print("\nNot in the package; 'tippingpoint data prepare NAME' reads them once:\n")
    for entry in found["public"]:
        ready = f"prepared in {entry['prepared']}" if entry["prepared"] else "not prepared here"
        print(f"{entry['name']}: {entry['about']}\n    {_sizes(entry)}; {ready}")
        print(f"    {entry['licence']}; {entry['url']}")
    print(f"\n{UNVERIFIED}")
    print(
        "\nSome classes of a set: fashion_mnist[0-5] or digits[0,2,4]. Your own images: the path of a .npz file with "
        "x_train, y_train,\nx_test, y_test, or of a folder with train/ and test/ that hold a folder for every class."
    )


def _sizes(entry: dict[str, Any]) -> str:
    if entry["n_train"] is None:
        return f"{entry['n_classes']} classes"
    return f"{entry['n_train']:,} training and {entry['n_test']:,} test images, {entry['n_classes']:,} classes"


def prepare(
    name: Annotated[str, typer.Argument(help="A public set ('data list'), or a name for your own images.")],
    source: Annotated[
        Path | None, typer.Option("--from", help="Where the images lie: a folder or a .npz file.", readable=False)
    ] = None,
    download: Annotated[bool, typer.Option("--download", help="Let torchvision fetch a public set.")] = False,
    size: Annotated[int | None, typer.Option(min=1, help="Side of the images; by default the set's, or 224.")] = None,
    channels: Annotated[int | None, typer.Option(min=1, max=3, help="1 for grey, 3 for RGB.")] = None,
    to: Annotated[
        Path | None, typer.Option(help="Folder to make; default NAME in $TIPPINGPOINT_DATA or here.", readable=False)
    ] = None,
    classes: Annotated[
        Path | None, typer.Option(help="Text file: the class folders to take, one a line.", readable=False)
    ] = None,
    json: Json = False,
) -> None:
    """Turn a set of images once into arrays at the study's size, which every run then maps into memory.

    A study names the result by its path, or by its name where it lies in its data_dir or in $TIPPINGPOINT_DATA.
    Nothing is fetched without --download. Images that cannot be read are all named, and nothing is left behind.
    """
    from tippingpoint.lab.data import prepare_image_set

    with _progress(name, quiet=json) as report:
        done = prepare_image_set(
            name,
            path=source,
            size=size,
            channels=channels,
            to=to,
            download=download,
            classes=classes,
            report=report,
        )
    _tell(done, json, _print_prepared)


def _print_prepared(done: dict[str, Any]) -> None:
    print(
        f"{done['path']}: {'was prepared already' if done['reused'] else 'prepared'}. {_sizes(done)}, {_shape(done)}, "
        f"{done['bytes'] / 1e6:,.1f} MB"
    )
    if (listed := done["source"]["class_list"]) is not None:
        print(f"Class list: {listed['name']} (SHA-256 {listed['sha256']})")
    print(f"Fingerprint: {done['fingerprint']}")
    for note in done["notes"]:
        print(f"Note: {note}")
    if done["reused"]:
        print("Note: the images were not looked at again; remove the folder to prepare it anew.")


@contextmanager
def _progress(name: str, *, quiet: bool) -> Iterator[Callable[[int, int], None]]:
    """Show a bar with the time left on standard error, where a person looks."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=quiet or not console.is_terminal) as bar:
        task = bar.add_task(f"Preparing {name}", total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def overlap(
    names: Annotated[list[str], typer.Argument(help="Sets, as a study names them.")],
    data_dir: DataDir = None,
    image_size: Size = None,
    channels: Channels = None,
    json: Json = False,
) -> None:
    """Count the images that sets share by content: training and test images of each, and of each with the others."""
    from tippingpoint.lab.data import find_overlaps

    _tell(find_overlaps(names, image_size=image_size, channels=channels, data_dir=data_dir), json, _print_overlap)


def _print_overlap(found: dict[str, Any]) -> None:
    print(f"Compared pixel for pixel at {_shape(found)}.")
    for sentence in found["warnings"] or ["No image stands in two parts."]:
        print(sentence)


def check(
    name: Annotated[str, typer.Argument(help="A set's name, or the path of your own .npz file or image folder.")],
    data_dir: DataDir = None,
    image_size: Size = None,
    channels: Channels = None,
    json: Json = False,
) -> None:
    """Load a set and tell its classes, their balance, images that occur twice, and its fingerprint."""
    from tippingpoint.lab.data import check_image_set

    _tell(check_image_set(name, image_size=image_size, channels=channels, data_dir=data_dir), json, _print_check)


def _print_check(found: dict[str, Any]) -> None:
    from rich.console import Console

    console = Console(highlight=False, soft_wrap=True)
    console.print(f"{found['name']}: {_sizes(found)} ({_shape(found)})", markup=False)
    console.print(_class_table(found["classes"]))
    twice = found["duplicates"]
    console.print(
        f"Copies: {twice['train']:,} among the training images, {twice['test']:,} among the test images, "
        f"{twice['train_test']:,} of training images among the test images."
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
