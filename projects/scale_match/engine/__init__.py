"""Training, testing and the sessions around them."""
