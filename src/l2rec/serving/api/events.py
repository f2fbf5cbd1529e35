"""Events: what users did, acknowledged when it is durable."""

import time

from fastapi import APIRouter
from pydantic import ConfigDict, Field

from l2rec.config import Settings
from l2rec.errors import SettingError
from l2rec.serving.answering.desk import Desk
from l2rec.serving.api.asking import Name
from l2rec.serving.api.faults import faults
from l2rec.serving.records import Event
from l2rec.serving.store.ids import LATEST
from l2rec.serving.wishes import Limits, check_ids


class EventBody(Settings):
    """Something that a user did."""

    model_config = ConfigDict(strict=True)

    event_id: Name
    """Chosen by whoever reports it; the same id is the same event, however often it is reported."""
    user_id: Name
    """Who did it; need not be known."""
    item_id: Name
    """With which item; need not be known yet."""
    time: float | None = Field(default=None, ge=0, le=LATEST, allow_inf_nan=False)
    """Seconds since 1970; the moment of the report where missing."""


class EventsBody(Settings):
    """A report of events."""

    model_config = ConfigDict(strict=True)

    events: list[EventBody] = Field(min_length=1)
    """In the order in which they happened."""


class Acknowledged(Settings):
    """What was stored; it is durable, and in the next answer of every server."""

    accepted: int
    """Events that are stored now, those reported before included."""
    new: int
    """Events that had not been reported before."""


class Events:
    """The route of events."""

    def __init__(self, desk: Desk, limits: Limits) -> None:
        """Keeps who stores, and within which limits."""
        self.desk, self.limits = desk, limits

    async def report(self, body: EventsBody) -> Acknowledged:
        """Store events, all or none; they are acknowledged when they are durable."""
        if len(body.events) > self.limits.events:
            raise SettingError(f"events: {len(body.events)}: over {self.limits.events}. Send several reports.")
        now = time.time()
        told = [Event(e.event_id, e.user_id, e.item_id, now if e.time is None else e.time) for e in body.events]
        for event in told:
            for name, value in (("event_id", event.event_id), ("user_id", event.user_id), ("item_id", event.item_id)):
                check_ids(name, (value,), 1, self.limits)
        new = await self.desk.report(told)
        return Acknowledged(accepted=len(new), new=sum(new))

    def router(self) -> APIRouter:
        """Returns the route."""
        router = APIRouter(tags=["events"])
        router.add_api_route(
            "/v1/events",
            self.report,
            methods=["POST"],
            response_model=Acknowledged,
            responses=faults(413, 503),
            operation_id="report_events",
        )
        return router
