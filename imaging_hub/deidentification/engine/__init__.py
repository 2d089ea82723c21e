"""The engine: a profile compiled to a plan, and the plan applied to one instance after the other."""
