"""What is remembered: cost, journal, provenance, MLflow."""
