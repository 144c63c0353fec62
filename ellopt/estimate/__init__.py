"""Cycles on a processor that is not at hand: a simulator of ARM's cores, fed by qemu."""
