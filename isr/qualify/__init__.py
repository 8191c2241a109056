"""Qualifying a judge: probes, checks, the record, and drift against frozen answers."""
