"""Takes alerts that ask for a retraining, and puts what they ask into the retraining log."""
