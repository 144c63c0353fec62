"""Connections to boards over SSH."""
