"""What may be tried on a model, and the files that say so."""
