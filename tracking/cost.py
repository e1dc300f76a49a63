"""INTERFACE (to be filled): Phase, Ledger, Meter."""
