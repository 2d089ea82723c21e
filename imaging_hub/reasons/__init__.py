"""What a reason code means, and what to do about it: in French for hospitals, in English for operators."""
