"""A network whose layers have Euclidean gain 1 by construction, all of its SiLUs at work."""
