"""Boards, servers and services that the device tests run against."""
