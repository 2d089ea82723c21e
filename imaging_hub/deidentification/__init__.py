"""The one door between the zones: a `SourceInstance` goes in, a `DeidentifiedInstance` or a `Quarantined` comes out."""
