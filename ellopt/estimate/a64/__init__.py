"""What an A64 instruction reads, writes and is, from its 32 bits."""
