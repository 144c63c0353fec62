"""What an A32 instruction (32-bit ARM code, not Thumb) reads, writes and is, from its 32 bits."""
