"""A year lived through again, day by day: what is the platform worth?"""
