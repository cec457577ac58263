"""`/v1/budgets`: how many incidents a day people want to hear of; the service chooses every threshold from it."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Request

from api import quiet_schemas
from api.auth import Caller, Needs, Scope
from api.services import Parts, parts_of

router = APIRouter(tags=["budgets"])


@router.get("/v1/budgets", summary="The alert budget")
def get_budget(request: Request, caller: Annotated[Caller, Depends(Needs(Scope.READ))]) -> quiet_schemas.Budget:
    """How many incidents a day there may be, and how many there were in the last 24 hours."""
    return _budget(parts_of(request), caller.tenant)


@router.post("/v1/budgets", summary="Set the alert budget")
def set_budget(
    request: Request, caller: Annotated[Caller, Depends(Needs(Scope.ADMIN))], asked: quiet_schemas.BudgetAsked
) -> quiet_schemas.Budget:
    """Set how many incidents a day there may be. It holds from the next batch on."""
    parts = parts_of(request)
    parts.store.desk.set_budget(caller.tenant, asked.incidents_per_day)
    return _budget(parts, caller.tenant)


def _budget(parts: Parts, tenant: str) -> quiet_schemas.Budget:
    return quiet_schemas.Budget.model_validate(parts.store.reads.budget(tenant, parts.services.budget_per_day))
