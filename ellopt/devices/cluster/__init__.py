"""Boards of the Pi cluster service."""
