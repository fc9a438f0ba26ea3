"""What a person sees while a batch runs. Reads a `RunState`, changes nothing."""
