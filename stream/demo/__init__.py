"""`vigia demo`: everything on this machine, from an empty folder to a verdict on what came out."""

from stream.demo.config import DemoConfig
from stream.demo.performance import Kept, run
from stream.demo.verdict import Verdict

__all__ = ["DemoConfig", "Kept", "Verdict", "run"]
