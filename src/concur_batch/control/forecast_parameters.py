"""The constants of the default policy that can be set."""

from __future__ import annotations

from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator


class ForecastParameters(BaseModel):
    """All constants that can be set. None has to be, whatever the model, the engine or the workload."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    fill: float = Field(0.96, gt=0, le=1, description="share of the pool that live contexts may fill at their foreseen peak")
    pause: float = Field(
        1.03, ge=1, le=2, description="agents pause where contexts exceed the limit by this factor, now or a step from now"
    )
    miss_high: float = Field(0.10, gt=0, le=1, description="above this share of missed history the fill is cut")
    miss_low: float = Field(0.02, ge=0, le=1, description="below this share it rises again")
    cut: float = Field(0.93, gt=0, lt=1, description="factor of a cut")
    rise_per_s: float = Field(0.01, gt=0, le=1, description="rise of the fill, per second")
    window_s: float = Field(10.0, gt=0, description="misses are taken over so many seconds, and there is one cut in them")
    away: float = Field(0.5, ge=0, le=1, description="how much agents in long tool calls count when a new one wants to start")
    aside: float = Field(0.5, gt=0, le=1, description="share of tool calls beyond break-even from which nobody is held back")
    harmless: float = Field(
        1.0,
        ge=0,
        description="nobody is held back where the engine could prefill all contexts at every step in this share of its time",
    )
    touch: bool = Field(
        default=True,
        description="keep the KV of agents in tool calls recent, with requests for one token, where that leaves more room",
    )
    together: bool = Field(
        default=True,
        description="begin model calls together where so many prefills, each of which the others stand still for, cost more than waiting",
    )
    first: int = Field(
        16, ge=1, description="agents before the first sample; fewer in a small pool, more where prompts leave room"
    )
    fallback: int = Field(64, ge=1, description="fixed window where the engine tells nothing about its cache")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.miss_low > self.miss_high:
            if "miss_low" in self.model_fields_set:
                raise ValueError(f"miss_low: should not be above miss_high, which is {self.miss_high:g} (got {self.miss_low:g})")
            raise ValueError(f"miss_high: should not be below miss_low, which is {self.miss_low:g} (got {self.miss_high:g})")
        return self
