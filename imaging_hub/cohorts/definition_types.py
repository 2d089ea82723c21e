"""Base of the models of a cohort definition: strict validation, names, words, and windows of days."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

MissingValues = Literal["keep", "drop"]
Modality = Literal["CT", "MR", "DX", "CR", "MG", "US", "XA", "RF", "NM", "PT", "OP", "OPT", "SC", "IO", "PX"]
SetName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_-]{1,62}$")]
NonEmptyWord = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9 _./-]{0,63}$")]
DayCount = tuple[Annotated[int, Field(ge=0, le=36525)], Annotated[int, Field(ge=0, le=36525)]]


class StrictModel(BaseModel):
    """A model that refuses unknown keys, converts no types and cannot be changed."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, use_attribute_docstrings=True)


class DayWindow(StrictModel):
    """Days before the index date, after it, or both."""

    before: DayCount | None = None
    """Days before it, nearest first: `[0, 180]`; the index date is day 0."""
    after: DayCount | None = None
    """Days after it."""

    @model_validator(mode="after")
    def check_order(self) -> DayWindow:
        """Refuse a window without days, or with days in the wrong order."""
        if self.before is None and self.after is None:
            raise ValueError("a window needs before or after; write `before: [0, 180]`")
        for name, days in (("before", self.before), ("after", self.after)):
            if days is not None and days[0] > days[1]:
                message = f"the window is upside down; write `{name}: [{days[1]}, {days[0]}]`"
                raise ValueError(message)
        return self
