"""What a simulation gives: ordered columns, messages of DESIGN 4, and the truth about each payment."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from stream.simulate.config import SimulationConfig
from stream.simulate.dict_statistics import DictStatistics
from stream.simulate.messages import Message, report_messages, transaction_messages
from stream.simulate.payments import HONEST, Payments
from stream.simulate.population import Population
from stream.simulate.reports import Reports
from stream.simulate.typologies import NAMES


@dataclass(frozen=True)
class Simulation:
    """Transactions and reports in event time.

    The truth (`fraud`, `typology`, `drain`) is in no message or file. Its rows are those of `event_ids`,
    which a features file has too: that is how a bench gets recall by typology.
    """

    config: SimulationConfig
    population: Population
    payments: Payments
    """By time; row i is transaction i."""
    statistics: DictStatistics
    """Row i is what DICT told of transaction i's key."""
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
        fraud: NDArray[np.bool_] = self.payments.typology != HONEST
        return fraud

    @property
    def typology(self) -> list[str | None]:
        """The name (one of `typologies.NAMES`) of each transaction's typology, row i that of `event_ids[i]`;
        None when it is honest."""
        words = (*NAMES, None)  # code -1 reads the last
        return [words[code] for code in self.payments.typology.tolist()]

    @property
    def drain(self) -> NDArray[np.bool_]:
        """Whether each transaction empties a mule account: fraud that the mule pays, not a victim."""
        payments = self.payments
        case = (payments.typology.astype(np.int64) << 32 | payments.incident) * self.population.size
        drain: NDArray[np.bool_] = self.fraud & np.isin(
            case + payments.payer, (case + payments.payee)[self.fraud]
        )
        return drain

    def between(self, from_ms: int, to_ms: int) -> "Simulation":
        """Transactions with `from_ms` <= occurred_at < `to_ms`, and the reports made in that time."""
        first, last = np.searchsorted(self.occurred_ms, (from_ms, to_ms))
        first_report, last_report = np.searchsorted(self.reports.reported_ms, (from_ms, to_ms))
        return replace(
            self,
            payments=self.payments.take(slice(int(first), int(last))),
            statistics=self.statistics.take(slice(int(first), int(last))),
            event_ids=self.event_ids[first:last],
            reports=self.reports.take(slice(int(first_report), int(last_report))),
        )

    def first(self, count: int) -> "Simulation":
        """The first `count` transactions and the reports made up to the last of them."""
        return self._rows(0, min(count, len(self)))

    def last(self, count: int) -> "Simulation":
        """The last `count` transactions and the reports made from the first to the last of them."""
        return self._rows(max(len(self) - count, 0), len(self))

    def _rows(self, first: int, last: int) -> "Simulation":
        rows = slice(first, last)
        if first == last:
            return self.between(0, 0)
        cut = self.between(int(self.occurred_ms[first]), int(self.occurred_ms[last - 1]) + 1)
        return replace(
            cut,
            payments=self.payments.take(rows),
            statistics=self.statistics.take(rows),
            event_ids=self.event_ids[rows],
        )

    def messages(self) -> Iterator[Message]:
        """Transactions and reports merged in event time; a report before a transaction at equal times."""
        reports = report_messages(self.population, self.reports)
        waiting = next(reports, None)
        for transaction in transaction_messages(
            self.population, self.payments, self.statistics, self.event_ids
        ):
            while waiting is not None and waiting.event_time_ms <= transaction.event_time_ms:
                yield waiting
                waiting = next(reports, None)
            yield transaction
        if waiting is not None:
            yield waiting
        yield from reports
