"""Everything joined: honest life, honest crowds and fraud become one ordered stream, with its reports."""

import numpy as np

from stream.simulate import crowds
from stream.simulate.config import SimulationConfig
from stream.simulate.devices import equip
from stream.simulate.dict_statistics import look_up
from stream.simulate.fraud import frauds
from stream.simulate.honest import everyday
from stream.simulate.identifiers import event_ids
from stream.simulate.keys import moved
from stream.simulate.payments import concatenate
from stream.simulate.population import populate
from stream.simulate.reports import report
from stream.simulate.simulation import Simulation


def simulate(config: SimulationConfig) -> Simulation:
    """The whole span. Equal configurations give equal bytes (for one version of numpy)."""
    population = populate(config)
    devices = equip(config, population)
    rng = np.random.default_rng([config.seed, 3])
    honest = config.transactions_per_day * config.days * (1 - config.fraud_rate)
    parts = [
        everyday(rng, config, population, devices, honest * (1 - crowds.SHARE)),
        *crowds.crowds(rng, config, population, devices, honest),
    ]
    # The share is of what was really drawn, so that it holds on short spans too.
    drawn = sum(len(part) for part in parts)
    fraud = round(drawn * config.fraud_rate / (1 - config.fraud_rate))
    payments = concatenate([*parts, *frauds(config, population, devices, fraud)])
    payments = moved(config, population, payments.take(np.argsort(payments.at_ms, kind="stable")))
    ids = event_ids(rng, population.ispb[payments.payer], payments.at_ms)
    reports = report(rng, payments, ids)
    statistics = look_up(config, population, payments, reports)
    return Simulation(config, population, payments, statistics, ids, reports)
