"""``tippingpoint weights``: public weights, fetched once before a study that starts from them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from tippingpoint.cli._common import print_json

__all__ = ["register"]

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")]
FETCH_EXAMPLES = """[bold]Examples[/bold]

tippingpoint weights fetch resnet18

tippingpoint weights fetch vit_small_patch14_dinov2.lvd142m

tippingpoint weights fetch resnet18.a1_in1k --to /models/resnet18.safetensors
"""
LIST_EXAMPLES = """[bold]Examples[/bold]

tippingpoint weights list

tippingpoint weights list "convnext_*"
"""


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    group = typer.Typer(help="Public weights: what is here, and fetching what a study needs.", no_args_is_help=True)
    group.command("fetch", epilog=FETCH_EXAMPLES)(fetch)
    group.command("list", epilog=LIST_EXAMPLES)(list_weights)
    app.add_typer(group, name="weights")


def fetch(
    names: Annotated[list[str], typer.Argument(metavar="NAME...", help="Models of timm, with or without a tag.")],
    to: Annotated[
        Path | None,
        typer.Option(help="The .safetensors file to make; by default in weights/ of the data folder.", readable=False),
    ] = None,
    json: Json = False,
) -> None:
    """Fetch published weights of timm models, so that studies can name them as `weights: hub`.

    They go to weights/ in $TIPPINGPOINT_DATA, or in the working directory where that is not set. Studies fetch
    nothing themselves. Mind the licence, which is the maker's.
    """
    from tippingpoint.errors import ConfigError
    from tippingpoint.lab.models.fetching import fetch_weights
    from tippingpoint.lab.models.weights import published_name

    if to is not None and len(names) > 1:
        raise ConfigError("--to takes the weights of one model; name one, or leave --to away.")
    for name in names:
        published_name(name)  # all names first: a slip in the last one should not cost a download
    found = []
    for name in names:
        found.append(fetch_weights(name, to))
        if not json:
            print(f"{found[-1]['name']}: {'was fetched already' if found[-1]['reused'] else 'fetched'}.")
            _print_file(found[-1])
    if json:
        print_json({"weights": found})


def list_weights(
    pattern: Annotated[
        str | None, typer.Argument(help="Also list what timm can fetch by such names, for example 'resnet*'.")
    ] = None,
    data_dir: Annotated[
        Path | None, typer.Option(help="A study's data folder, looked into first.", readable=False)
    ] = None,
    json: Json = False,
) -> None:
    """List the weights that were fetched, and, with a pattern, those that can be."""
    from tippingpoint.lab.models.fetching import fetched_weights, published_weights
    from tippingpoint.lab.models.weights import weights_folder

    fetched = fetched_weights(data_dir)
    published = published_weights(pattern) if pattern is not None else []
    if json:
        print_json({"fetched": fetched, "published": published})
        return
    for entry in fetched:
        print(f"{entry['name']}")
        _print_file(entry)
    if not fetched:
        print(f"Nothing was fetched to {weights_folder(data_dir)}; 'tippingpoint weights fetch NAME' does it.")
    if pattern is None:
        return
    here = {entry["name"] for entry in fetched}
    print(f"\n{len(published):,} published under '{pattern}':")
    for entry in published:
        licence = entry["licence"] or "no licence stated"
        print(f"{entry['name']}: {licence}, {entry['image_size']} pixels{'; fetched' * (entry['name'] in here)}")


def _print_file(entry: dict[str, Any]) -> None:
    print(f"    {entry['path']}")
    print(f"    {entry['n_params']:,} parameters, {entry['bytes'] / 1e6:,.1f} MB, SHA-256 {entry['sha256']}")
    print(f"    licence: {entry['licence'] or 'none stated by timm; ask its makers'}")
