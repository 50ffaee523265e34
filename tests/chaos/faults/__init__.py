"""Every fault, by kind."""

from ..fault import Fault
from . import broker, data, redis, worker

FAULTS: dict[str, Fault] = {
    fault.name: fault for kind in (worker, redis, broker, data) for fault in kind.FAULTS
}
