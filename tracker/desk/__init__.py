"""The desk: pages for sales and marketing. Here are its users, its sign-in, its frame, and the tracker's own pages."""
