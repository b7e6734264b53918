"""Files to core values and back, without a framework."""
