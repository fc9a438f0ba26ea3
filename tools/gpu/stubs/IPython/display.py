"""What SGLang names of it."""

from left_out import stand_in

stand_in(__name__)
