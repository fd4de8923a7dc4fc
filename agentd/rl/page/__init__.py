"""A game in a page: the files that a browser gets, and the small server that gives them."""
