"""Records of predictions: made on the request's path, kept on disk, delivered in the background."""
