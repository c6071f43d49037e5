"""An anonymised bundle of a case that fails, for a report of the failure; nothing is sent."""
