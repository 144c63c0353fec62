"""What several suites and benchmarks share: pretended parts, real servers, generated models and damage."""
