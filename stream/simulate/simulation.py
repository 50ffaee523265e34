"""What a simulation gives: ordered columns, messages of DESIGN 4, and the truth about each payment."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from stream.simulate.config import SimulationConfig
from stream.simulate.messages import Message, report_messages, transaction_messages
from stream.simulate.payments import HONEST, Payments
from stream.simulate.population import Population
from stream.simulate.reports import Reports
from stream.simulate.typologies import NAMES


@dataclass(frozen=True)
class Simulation:
    """Transactions and reports in event time. The truth (`fraud`, `typology`) is in no message or file."""

    config: SimulationConfig
    population: Population
    payments: Payments
    """By time; row i is transaction i."""
    event_ids: NDArray[np.bytes_]
    reports: Reports

    def __len__(self) -> int:
        return len(self.payments)

    @property
    def occurred_ms(self) -> NDArray[np.int64]:
        """Event time of each transaction, milliseconds since the epoch, ascending."""
        return self.payments.at_ms

    @property
    def fraud(self) -> NDArray[np.bool_]:
        """Whether each transaction is fraud, reported or not."""
        return self.payments.typology != HONEST

    @property
    def typology(self) -> list[str | None]:
        """The name of each transaction's typology; None when it is honest."""
        words = (*NAMES, None)  # code -1 reads the last
        return [words[code] for code in self.payments.typology.tolist()]

    def between(self, from_ms: int, to_ms: int) -> "Simulation":
        """Transactions with `from_ms` <= occurred_at < `to_ms`, and the reports made in that time."""
        first, last = np.searchsorted(self.occurred_ms, (from_ms, to_ms))
        first_report, last_report = np.searchsorted(self.reports.reported_ms, (from_ms, to_ms))
        return replace(
            self,
            payments=self.payments.take(slice(int(first), int(last))),
            event_ids=self.event_ids[first:last],
            reports=self.reports.take(slice(int(first_report), int(last_report))),
        )

    def first(self, count: int) -> "Simulation":
        """The first `count` transactions and the reports made up to the last of them."""
        if count >= len(self):
            return self
        end = int(self.occurred_ms[count - 1])
        cut = self.between(self.config.start_ms, end + 1)
        return replace(cut, payments=self.payments.take(slice(0, count)), event_ids=self.event_ids[:count])

    def messages(self) -> Iterator[Message]:
        """Transactions and reports merged in event time; a report before a transaction at equal times."""
        reports = report_messages(self.population, self.reports)
        waiting = next(reports, None)
        for transaction in transaction_messages(self.population, self.payments, self.event_ids):
            while waiting is not None and waiting.event_time_ms <= transaction.event_time_ms:
                yield waiting
                waiting = next(reports, None)
            yield transaction
        if waiting is not None:
            yield waiting
        yield from reports
