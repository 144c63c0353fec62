"""Matrix multiplication over register tiles, with one level of Strassen's algorithm where it applies."""
