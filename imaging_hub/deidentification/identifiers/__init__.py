"""What identifies a patient: collected from headers, cleaned out of text, searched for in the output."""
