"""Measurements of specimens: what the columns of the modality `measurements` mean."""

from __future__ import annotations

import re
from dataclasses import dataclass

_UNIT = re.compile(r"^(?P<name>.+?)\s*[\[(](?P<unit>[^\])]+)[\])]$")
_SUFFIX = re.compile(r"^(?P<name>.+)_(?P<unit>mm|cm|m|km|um|µm|mg|g|kg|deg|degc|ml|l)$", re.I)


@dataclass(frozen=True)
class Column:
    """One column of the measurements.

    Attributes:
        name: as in the user's table.
        values: of a categorical column, sorted; the array holds their indices. Empty for numbers,
            which the array holds in their own unit. In both, NaN is a missing value.
    """

    name: str
    values: tuple[str, ...] = ()

    @property
    def unit(self) -> str:
        """The unit that the name ends in, as in `height (mm)` or `height_mm`; '' for none."""
        found = _UNIT.match(self.name) or _SUFFIX.match(self.name)
        return found["unit"] if found else ""
