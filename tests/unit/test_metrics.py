"""Many values at once are counted as one by one."""

from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Histogram

from stream.metrics import observe_all

BOUNDS = (0.001, 0.5, 1, 30)


def histogram() -> Histogram:
    return Histogram("seconds", "of a test", buckets=BOUNDS, registry=CollectorRegistry())


def told(histogram: Histogram) -> dict[tuple[str, str], float]:
    samples = (sample for metric in histogram.collect() for sample in metric.samples)
    return {(s.name, s.labels.get("le", "")): s.value for s in samples if not s.name.endswith("_created")}


@given(values=st.lists(st.sampled_from([0.0, 0.0005, *map(float, BOUNDS), 0.75, 31.0, 1e9]), max_size=20))
def test_many_values_at_once_are_counted_as_one_by_one(values: list[float]) -> None:
    one, many = histogram(), histogram()
    for value in values:
        one.observe(value)
    observe_all(many, values)
    assert told(many) == told(one)
