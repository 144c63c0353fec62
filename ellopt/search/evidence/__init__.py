"""What samples say of variants."""
