"""Telling receivers of events: what they get, how it is signed, and in which order and how often it is tried."""

from services.scheduler.notifying._delivery import Delivery, DeliverySettings, ReceiverState
from services.scheduler.notifying._formats import About, Message, as_json, kind_of, message_of
from services.scheduler.notifying._metrics import NotifyMetrics
from services.scheduler.notifying._news import News
from services.scheduler.notifying._signing import signature_of
from services.scheduler.notifying._sink import DeliveryError, HttpSink, Sink

__all__ = [
    "About",
    "Delivery",
    "DeliveryError",
    "DeliverySettings",
    "HttpSink",
    "Message",
    "News",
    "NotifyMetrics",
    "ReceiverState",
    "Sink",
    "as_json",
    "kind_of",
    "message_of",
    "signature_of",
]
