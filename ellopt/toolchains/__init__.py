"""Toolchains turn a model and plans into a bundle that runs on a device."""
