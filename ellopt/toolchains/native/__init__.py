"""Our own C for every layer, compiled by zig."""
