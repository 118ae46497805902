"""Jobs that watch models: how they tell what they found to what is scraped."""
