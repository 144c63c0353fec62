"""What a tuned model is used by: a run, a library, a registered model."""
