"""Choosing winners and confirming them."""
