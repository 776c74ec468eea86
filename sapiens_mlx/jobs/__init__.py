"""Many photos and videos at once: what is to be done, who does it, and what is already done."""
