"""The tracker's rows of the route table."""
