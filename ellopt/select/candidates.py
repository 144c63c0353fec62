"""Which whole models are compared at the end: the winners together, and what else might be faster."""

from __future__ import annotations

import logging

import numpy as np

from ellopt.core.options import ConvolutionOptions
from ellopt.core.plan import Plan
from ellopt.core.shapes import ConvolutionShape
from ellopt.measure.whole_model import WholeCheck
from ellopt.search.result import SearchResult
from ellopt.select.confirm import ASSEMBLED, BEFORE, TRIAL, UNIFORM, best_uniform
from ellopt.select.winners import Winners, choose_winners
from ellopt.space.space import ModelSpace

logger = logging.getLogger(__name__)


def sound_winners(result: SearchResult, check: WholeCheck, error: float = 0.0) -> Winners:
    """The winners, without options that make the whole model's output wrong. ``error``: by what share times may be
    off that measuring again does not show."""
    winners = choose_winners(result, error=error)
    rejected: dict[ConvolutionShape, frozenset[ConvolutionOptions]] = {}
    layers = {layer.node_id: layer for layer in result.space.layers}
    while blamed := check.blame(winners.plan):
        for node_id in blamed:
            layer, options = layers[node_id], winners.plan[node_id]
            logger.warning("node %s: with %s the whole model's output is wrong; another is taken", node_id, options)
            rejected[layer.shape] = rejected.get(layer.shape, frozenset()) | {options}
        winners = choose_winners(result, rejected, error)
    return winners


def whole_models(space: ModelSpace, result: SearchResult, winners: Winners) -> dict[str, Plan]:
    """The whole models worth comparing at the end."""
    candidates = {ASSEMBLED: winners.plan, BEFORE: space.default_plan}
    uniform = best_uniform(space, _estimates(space, result))
    if uniform is not None:
        candidates[UNIFORM] = uniform
    measured = {t.plan: t.samples for t in result.trials if t.samples is not None and len(t.samples.total_ms) > 1}
    if measured:
        candidates[TRIAL] = min(measured, key=lambda plan: float(np.median(measured[plan].total_ms)))
    return candidates


def _estimates(space: ModelSpace, result: SearchResult) -> dict[str, dict[ConvolutionOptions, float]]:
    """Node id -> options -> estimated milliseconds, for what was measured."""
    by_shape = {
        shape: {options: estimate.ms for options, estimate in result.evidence.estimates(shape).items()}
        for shape in space.by_shape
    }
    return {layer.node_id: by_shape[layer.shape] for layer in space.layers}
