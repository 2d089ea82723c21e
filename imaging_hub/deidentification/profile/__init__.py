"""De-identification profiles: YAML files, their rules and the conditions of these."""
