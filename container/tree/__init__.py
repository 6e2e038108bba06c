"""From a path to an answer: resources, traversal, sites."""
