"""File formats: each folder reads one into a Model and writes the tuned model back."""
