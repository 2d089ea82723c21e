"""Cohorts: subjects selected by care pathway and images, counted, frozen, and released under a permit."""
