"""Which pixels an answer is due to, compared with which baseline, and what deletion says of it."""
