"""What is compiled for: boards and their processors, as rows of facts."""

from ellopt.targets.cpus import CPUS, Cpu
from ellopt.targets.target import TARGETS, Target, find_target

__all__ = ["CPUS", "TARGETS", "Cpu", "Target", "find_target"]
