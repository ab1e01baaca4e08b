"""The keys of a selection that say how momenta of leptons are corrected."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import model_validator

from ptmiss.files.userfiles import Number, Section, key
from ptmiss.selections.formulas import Formula, FormulaText

VARIATIONS = ("scale_up", "scale_down", "resolution_up", "resolution_down")


class Momentum(Section):
    """Scale and resolution of the leptons: of a file of CMS's groups, or by formulas over columns of the leptons."""

    file: str = key(
        "",
        "the group's correctionlib file: scale and resolution of muons, scale and smearing of electrons (Run 3), or "
        "the uncertainty of their scale (Run 2)",
    )
    scale: str = key("", "of electrons, the correction of that file with the scale; the one that it has if empty")
    smearing: str = key("", "of electrons, the correction with the smearing; the one in bins of pT if empty")
    year: str = key("", "of electrons of Run 2, the year that the file asks for")
    pt: FormulaText = key("", "formula of pT (GeV) over columns of the leptons, in place of that of the event file")
    scale_up: FormulaText = key("", "formula of pT (GeV) with a higher scale, in place of what the file says")
    scale_down: FormulaText = key("", "the same with a lower scale")
    resolution_up: FormulaText = key("", "the same with a worse resolution")
    resolution_down: FormulaText = key("", "the same with a better resolution")
    random: str = key(
        "", "column of the leptons with random numbers from 0 to 1; hashes of the event and place if empty"
    )

    @model_validator(mode="after")
    def _says_something(self) -> Momentum:
        if not self.file and not self.formulas:
            raise ValueError("expected a file, or a formula such as pt or scale_up")
        if self.file and self.pt:
            raise ValueError("file and pt both give the momentum: expected one of them")
        return self

    @property
    def formulas(self) -> Mapping[str, Formula]:
        """Those that are there, by their keys."""
        return {name: Formula(text) for name in ("pt", *VARIATIONS) if (text := getattr(self, name))}


class Fsr(Section):
    """Photons of final-state radiation (`FsrPhoton`) that are added to the muons that radiated them."""

    isolation_maximum: Number = key(1.8, "`FsrPhoton_relIso03` below", gt=0)
    distance_maximum: Number = key(0.012, "`FsrPhoton_dROverEt2` below", "1/GeV²", gt=0)
