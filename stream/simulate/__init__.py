"""Generated Pix traffic with fraud in it. Knows nothing of the features that it will be scored by."""

from stream.simulate.config import SimulationConfig
from stream.simulate.messages import Message
from stream.simulate.simulation import Simulation
from stream.simulate.traffic import simulate

__all__ = ["Message", "Simulation", "SimulationConfig", "simulate"]
