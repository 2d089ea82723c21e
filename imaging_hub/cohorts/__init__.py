"""Cohorts: who, by care pathway; which images of them; counted safely, frozen, and released under a permit."""
