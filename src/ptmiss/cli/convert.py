"""The verb ``convert``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from ptmiss.cli.completion import Words
from ptmiss.cli.options import PATH, Verb, cli


@cli.command(
    "convert",
    cls=Verb,
    short_help="Open full simulation into event files; recoil corrections into JSON.",
    epilog="""
  ptmiss convert events.edm4hep.root --detector cld --output cld.root
  ptmiss convert cld_edm_ttbar_pf-*.array_record-* --output out/cld
  ptmiss convert Type1_PuppiMET_2018.root --order LO \\
      --systematics PuppiMETSys_2018.root --output recoil.json.gz
""",
)
@click.argument("files", nargs=-1, required=True)
@click.option(
    "-o", "--output", type=PATH, required=True, help="A .root file, or a directory; .json or .gz for corrections."
)
@click.option("--detector", type=Words("clic|cld"), help="Whose magnetic field an EDM4hep file has.")
@click.option("--max-events", type=click.IntRange(1), help="Most events to read of each file.")
@click.option("--systematics", type=PATH, help="Of corrections: the ROOT file of their uncertainties.")
@click.option("--order", default="any", show_default=True, help="Of corrections: their key in the file.")
@click.option("--force", is_flag=True, help="Replace what is there.")
def convert(files: tuple[str, ...], output: Path, systematics: Path | None, **options: Any) -> None:
    """Convert FILES of others into what this package reads.

    Open full simulation with truth becomes event files with elements, targets and candidates: EDM4hep (ROOT), or
    parquet and ArrayRecord of the public MLPF (needs the extra arrayrecord; jets need the extra simulation). All gates
    are checked: each target once, energy kept, clusters neutral, everything finite. An event file with elements becomes
    .parquet or .array_record.

    A ROOT file of recoil corrections of CMS's HTT group becomes the .json that load_published reads.
    """
    from ptmiss import verbs
    from ptmiss.progress import progress_bar, progress_callback

    with progress_bar() as bar:
        made = verbs.convert(files, output, systematics, progress=progress_callback(bar), **options)
    for path in made if isinstance(made, list) else [output]:
        click.echo(path)
